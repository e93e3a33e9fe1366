"""Tensors on their way to the host, without making the device wait."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from deeptracker.errors import InputError


class HostCopy:
    """A copy of a tensor, started now and read when it is there. On the processor it is there at once."""

    def __init__(self, tensor: torch.Tensor) -> None:
        tensor = tensor.detach()
        self._event: torch.cuda.Event | None = None
        if tensor.device.type == "cuda":
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(tensor.device))
        else:
            self._host = tensor.to("cpu", copy=True)

    def ready(self) -> bool:
        """Whether reading it would not wait."""
        return self._event is None or self._event.query()

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values, once they are there."""
        if self._event is not None:
            self._event.synchronize()
        return (self._host.float() if self._host.dtype == torch.bfloat16 else self._host).numpy()

    def number(self) -> float:
        """The value of a tensor with one element."""
        return float(self.numpy().reshape(-1)[0])


def number_of(value: Any) -> float | HostCopy:
    """One number; where it lies on a device, on its way.

    Raises
    ------
    InputError
        A tensor of several. ``TypeError`` and ``ValueError`` are those of ``float``.
    """
    if not isinstance(value, torch.Tensor):
        return float(value)
    if value.numel() != 1:
        raise InputError(f"a scalar must be one number, not a tensor of shape {tuple(value.shape)}")
    return float(value.detach()) if value.device.type == "cpu" else HostCopy(value)


__all__ = ["HostCopy", "number_of"]
