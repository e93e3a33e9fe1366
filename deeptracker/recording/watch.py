"""``watch``: a recorder in one line, in the manner of other tools."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeptracker.recording.recorder import Recorder

if TYPE_CHECKING:
    import torch


def watch(
    model: torch.nn.Module,
    *,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    path: str | Path | None = None,
    log_freq: int = 100,
    **options: Any,
) -> Recorder:
    """A ``Recorder`` in the manner of other tools: ``log_freq`` is ``every``, the default path ``runs/<time>``."""
    where = Path(path) if path is not None else Path("runs") / time.strftime("%Y-%m-%d_%H-%M-%S")
    return Recorder(where, model, optimizer=optimizer, every=log_freq, **options)
