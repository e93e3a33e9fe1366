"""The standard set by our own kernels: three launches for a snapshot, however many layers a net has.

Where each layer's parameter and gradient lie is a table of addresses on the device. Parameters stay in their place;
gradients move where ``zero_grad`` sets them to None: then 16 bytes a layer go to the device, without waiting.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from deeptracker.errors import InputError
from deeptracker.record.device import DeviceSet
from deeptracker.record.layers import Layer
from deeptracker.record.stacked import StackedSet

Array = np.ndarray[Any, Any]
Tensor = torch.Tensor

_KINDS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}  # as the kernels tell them apart
_MOST = 16  # tables of addresses kept: one for each set of layers that is read together
_COMBINING = 4  # warps of the kernel that joins segments; the others have one


class SegmentSet(DeviceSet):
    """A ``DeviceSet`` for CUDA devices; needs Triton, which torch for CUDA brings.

    Beside the previous and the initial weights (float32) it holds 184 bytes for every started 512 weights of a
    filter. Rows that do not lie in their parameter as they are read (transposed and grouped transposed convolutions,
    gradients in another memory format, float64) are copied first, one or two launches for each such layer.
    """

    def __init__(self, layers: Sequence[Layer], initial: Sequence[Array], device: torch.device) -> None:
        from deeptracker.record import kernels  # loads Triton

        super().__init__(layers, initial, device)
        self._kernels = kernels
        widths, numbers = np.array(self._widths), np.arange(len(layers))
        counts = np.repeat(-(-widths // kernels.BLOCK), self._sizes)  # segments of each filter
        firsts = np.cumsum(counts) - counts
        layer = np.repeat(np.repeat(numbers, self._sizes), counts)
        channel = np.repeat(np.concatenate([np.arange(size) for size in self._sizes]), counts)
        done = (np.arange(len(layer)) - np.repeat(firsts, counts)) * kernels.BLOCK  # weights before, in the filter
        bases = np.cumsum(self._sizes * widths) - self._sizes * widths

        def sent(values: Array, kind: type[np.integer[Any]]) -> Tensor:
            return torch.from_numpy(values.astype(kind)).to(device)

        self._firsts, self._counts = sent(firsts, np.int64), sent(counts, np.int32)
        self._bases = sent(bases, np.int64)
        self._segments = (
            sent(layer, np.int32),
            sent(channel * widths[layer] + done, np.int64),
            sent(np.minimum(kernels.BLOCK, widths[layer] - done), np.int32),
        )
        self._partials = torch.zeros((len(layer), kernels.COLUMNS), dtype=torch.float64, device=device)
        self._unscaled = torch.ones(1, dtype=torch.float64, device=device)
        self._tables: dict[tuple[int, ...] | None, tuple[list[int], Tensor]] = {}
        rows = [layer.on_device(layer.parameter).reshape(-1) for layer in layers]
        self._previous = torch.cat([part.to(device, torch.float32) for part in rows])
        self.set_initial(initial)
        self._rehearse()

    def _rehearse(self) -> None:
        """Have everything compiled now: with no address in their table the kernels read nothing."""
        nowhere = torch.zeros((len(self._layers), 2), dtype=torch.int64, device=self._device)
        self._read_gradients(nowhere, self._unscaled)
        self._read_weights(nowhere)
        self._complete()

    def set_initial(self, initial: Sequence[Array]) -> None:
        """Count rotation from other initial weights."""
        rows = [torch.from_numpy(rows).reshape(-1).to(self._device, torch.float32) for rows in initial]
        self._initial = torch.cat(rows)

    def gradients(
        self, given: Sequence[Tensor | None], layers: Sequence[int], scale: float | Tensor | None = None
    ) -> None:
        """Accumulate over the gradients of some layers' parameters; None leaves NaN."""
        present = {layer: g for layer, g in zip(layers, given, strict=True) if g is not None}
        if not present:
            return
        places, copies = self._places(present)
        table = self._on_device(tuple(layers), places)
        self._read_gradients(table, self._unscaled if scale is None else self._scale(scale))
        del copies  # only now: what follows in the stream may have their memory
        self._have_read(present)

    def weights(self, given: Sequence[Tensor]) -> None:
        """Accumulate over the parameters of all layers, and keep them as the previous ones."""
        places, copies = self._places(dict(enumerate(given)))
        self._read_weights(self._on_device(None, places))
        del copies

    def _places(self, given: dict[int, Tensor]) -> tuple[list[int], list[Tensor]]:
        """Address and kind of each layer's rows, 0 for those not given; and the copies that some of them lie in."""
        places, copies = [0] * (2 * len(self._layers)), []
        for number, tensor in given.items():
            kind, address = _KINDS.get(tensor.dtype), None
            if kind is not None and tensor.device == self._device:
                address = self._layers[number].address(tensor)
            if address is None:
                rows = self._copied(number, tensor)
                copies.append(rows)
                kind, address = _KINDS[rows.dtype], rows.data_ptr()
            places[2 * number], places[2 * number + 1] = address, kind or 0
        return places, copies

    def _copied(self, number: int, tensor: Tensor) -> Tensor:
        layer = self._layers[number]
        rows = layer.on_device(tensor)
        wanted = layer.filters, self._widths[number]
        if rows.shape != wanted:  # the kernels would read what lies beyond it
            raise InputError(
                f"{layer.name}: its weights are {tuple(rows.shape)}, not {wanted} as before; make a new Recorder"
            )
        kind = tensor.dtype if tensor.dtype in _KINDS else torch.float32
        return rows.to(self._device, kind).contiguous()

    def _on_device(self, key: tuple[int, ...] | None, places: list[int]) -> Tensor:
        """A table of addresses on the device, sent only where it changed since the last one under its key."""
        known = self._tables.get(key)
        if known is not None and known[0] == places:
            return known[1]
        # New memory each time: torch gives pinned memory out again only after the copies from it are done.
        host = torch.tensor(places, dtype=torch.int64, pin_memory=self._device.type == "cuda")
        table = host.to(self._device, non_blocking=True)
        if len(self._tables) >= _MOST:
            self._tables.clear()
        self._tables[key] = places, table
        return table

    # The launches

    def _on(self) -> AbstractContextManager[Any]:
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()

    def _read_gradients(self, places: Tensor, scale: Tensor) -> None:
        k = self._kernels
        with self._on():
            k.read_gradients[(len(self._partials),)](
                places, *self._segments, self._partials, scale,
                BLOCK=k.BLOCK, COLUMNS=k.COLUMNS, FIRST=k.GRADIENTS, num_warps=1,
            )  # fmt: skip

    def _read_weights(self, places: Tensor) -> None:
        k = self._kernels
        with self._on():
            k.read_weights[(len(self._partials),)](
                places, *self._segments, self._partials, self._bases, self._previous, self._initial,
                BLOCK=k.BLOCK, COLUMNS=k.COLUMNS, num_warps=1,
            )  # fmt: skip

    def _complete(self) -> None:
        k, filters = self._kernels, len(self._table)
        with self._on():
            k.combine[(-(-filters // k.ROWS),)](
                self._partials, self._firsts, self._counts, self._table, filters,
                ROWS=k.ROWS, COLUMNS=k.COLUMNS, FIRST=k.GRADIENTS, WIDTH=k.WIDTH, num_warps=_COMBINING,
            )  # fmt: skip


def set_on(layers: Sequence[Layer], initial: Sequence[Array], device: torch.device) -> DeviceSet:
    """The fastest set that works on a device: our kernels on CUDA where Triton works, else torch's own operations."""
    if device.type == "cuda" and all(type(layer.parameter) is torch.nn.Parameter for layer in layers):
        try:
            return SegmentSet(layers, initial, device)
        except ImportError:  # a torch without Triton
            pass
        except torch.OutOfMemoryError:  # the other one would need more
            raise
        except Exception as error:  # no compiler on the machine, a device that Triton does not know, …
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            warnings.warn(
                f"DeepTracker: Triton does not work here ({reason}); recording goes on with torch's own operations, "
                "which cost more. Triton needs a C compiler: install gcc",
                RuntimeWarning,
                stacklevel=2,
            )
    return StackedSet(layers, initial, device)


__all__ = ["SegmentSet", "set_on"]
