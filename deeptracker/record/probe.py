"""Activations over a fixed probe batch, after each layer's normalisation and nonlinearity."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from deeptracker.record.describe import Description
from deeptracker.record.evaluate import untouched

Named = dict[str, np.ndarray[Any, Any]]


class Probe:
    """Runs a batch through the model in evaluation mode and reads every filter's activations.

    Parameters
    ----------
    model : the model that trains.
    batch : what one call of the model takes; a tuple or list is unpacked.
    """

    def __init__(self, model: nn.Module, batch: Any) -> None:
        self.model = model
        self.arguments = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)

    def measure(self, description: Description) -> tuple[Named, Named]:
        """``act_mean act_std act_zero_fraction`` per filter and per layer, float32.

        The nonlinearity is applied where it acts on the layer's output alone; behind an addition (the end of a
        residual block) the value before the addition is read, since after it several layers share the channel.
        """
        sums = np.full((description.filters, 4), np.nan)
        handles = []
        for layer, first in zip(description.layers, description.first, strict=True):
            module = description.modules.get(layer.follows.normalisation) or layer.module
            label = layer.follows.activation if layer.follows.direct else ""
            activation = getattr(nn, label)() if label else nn.Identity()
            rows = slice(int(first), int(first) + layer.filters)
            handles.append(module.register_forward_hook(_reader(sums[rows], activation)))
        try:
            with untouched(self.model):
                self.model(*self.arguments)
        finally:
            for handle in handles:
                handle.remove()
        return _named(sums), _named(np.add.reduceat(sums, description.first, axis=0))


def _reader(out: np.ndarray[Any, Any], activation: nn.Module) -> Any:
    def read(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        values = activation(output.float())
        channel_axis = -1 if isinstance(module, (nn.Linear, nn.LayerNorm)) else 1
        flat = values.movedim(channel_axis, 0).reshape(values.shape[channel_axis], -1).double()
        table = torch.stack(
            [(flat**2).sum(1), flat.sum(1), (flat == 0).sum(1), torch.full_like(flat[:, 0], flat.shape[1])]
        )
        out[:] = table.T.cpu().numpy()

    return read


def _named(sums: np.ndarray[Any, Any]) -> Named:
    square, total, zeros, count = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        deviation = np.sqrt(np.maximum(square / count - mean**2, 0))
        named = {"act_mean": mean, "act_std": deviation, "act_zero_fraction": zeros / count}
    return {name: values.astype(np.float32) for name, values in named.items()}
