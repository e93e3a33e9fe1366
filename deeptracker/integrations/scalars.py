"""Scalars as other libraries log them, under names that a run takes."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import torch

# A run has them of its own: from here they come per logging interval, averaged, or before clipping.
_OURS = {"loss", "learning_rate", "grad_norm", "steps", "step_skipped", "wall_time", "recorder_seconds", "iteration"}
_TAKEN = {"param_group", "step"}  # an axis, an argument of log()


def named(metrics: Mapping[str, Any]) -> dict[str, torch.Tensor | float]:
    """What is one number among ``metrics``, as ``Recorder.log`` takes it.

    A ``/`` becomes ``_`` (``train/acc`` is ``train_acc``); a name that a run has of its own gets ``logged_`` in front
    (``logged_loss``). Texts, arrays and tables are left out.
    """
    return {_name(str(name)): value for name, value in metrics.items() if is_number(value)}


def is_number(value: Any) -> bool:
    """Whether a value is one number, also as a tensor or an array."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_complex()
    return isinstance(value, numbers.Real)


def settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters that can be an attribute of a run: numbers, texts and nothing; the others as text."""
    plain = (bool, int, float, str, type(None))
    return {str(name): value if isinstance(value, plain) else str(value) for name, value in values.items()}


def _name(name: str) -> str:
    name = name.replace("/", "_").lstrip("._") or "unnamed"
    return f"logged_{name}" if name in _OURS | _TAKEN else name


__all__ = ["is_number", "named", "settings"]
