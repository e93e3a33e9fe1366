"""Activations over a fixed probe batch, after each layer's normalisation and nonlinearity."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from deeptracker.record.describe import Description
from deeptracker.record.evaluate import untouched
from deeptracker.record.wrappers import eager, unwrapped

_CHANNEL_SECOND = (
    nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm,
)  # fmt: skip
Named = dict[str, np.ndarray[Any, Any]]


class Probe:
    """Runs a batch through the model in evaluation mode and reads every filter's activations.

    Parameters
    ----------
    model : the model that trains.
    batch : what one call of the model takes; a tuple or list is unpacked.
    """

    def __init__(self, model: nn.Module, batch: Any) -> None:
        self.model = unwrapped(model)
        self.arguments = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)

    def rehearse(self) -> Any:
        """One pass with autograd's graph, in evaluation mode and without compiled code: it describes the model."""
        with untouched(self.model), eager(), torch.enable_grad():
            return self.model(*self.arguments)

    def measure(self, description: Description) -> tuple[Named, Named]:
        """``act_mean act_std act_zero_fraction`` per filter and per layer, float32.

        The nonlinearity is applied where it acts on the layer's output alone; behind an addition (the end of a
        residual block) the value before the addition is read, since after it several layers share the channel.
        Layers that the batch does not reach are NaN. The device is waited for once.
        """
        tables: dict[int, torch.Tensor] = {}
        handles = []
        for number, layer in enumerate(description.layers):
            module = description.norm_of(layer) or layer.module
            label = layer.follows.activation if layer.follows.direct else ""
            activation = getattr(nn, label)() if label else nn.Identity()
            handles.append(module.register_forward_hook(_reader(tables, number, layer.filters, activation)))
        try:
            with untouched(self.model), eager():
                self.model(*self.arguments)
        finally:
            for handle in handles:
                handle.remove()
        sums = np.full((description.filters, 4), np.nan)
        if tables:
            read = torch.cat([tables[number] for number in sorted(tables)]).cpu().numpy()
            reached = [description.layers[number].filters for number in sorted(tables)]
            starts = np.cumsum(reached) - reached
            for number, start, count in zip(sorted(tables), starts, reached, strict=True):
                first = int(description.first[number])
                sums[first : first + count] = read[start : start + count]
        return _named(sums), _named(np.add.reduceat(sums, description.first, axis=0))


def _reader(tables: dict[int, torch.Tensor], number: int, filters: int, activation: nn.Module) -> Any:
    def read(module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor):
            return
        axis = 1 if isinstance(module, _CHANNEL_SECOND) else -1
        if output.shape[axis] != filters:
            return
        flat = activation(output.float()).movedim(axis, 0).reshape(filters, -1).double()
        count = torch.full_like(flat[:, 0], flat.shape[1])
        tables[number] = torch.stack([(flat**2).sum(1), flat.sum(1), (flat == 0).sum(1), count], dim=1)

    return read


def _named(sums: np.ndarray[Any, Any]) -> Named:
    square, total, zeros, count = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        deviation = np.sqrt(np.maximum(square / count - mean**2, 0))
        named = {"act_mean": mean, "act_std": deviation, "act_zero_fraction": zeros / count}
    return {name: values.astype(np.float32) for name, values in named.items()}
