"""Joins who records and who stores. Each name loads only what it needs: recording needs torch, ingesting may not."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {"Recorder": "recorder", "ingest_run": "ingesting", "watch": "watching"}

if TYPE_CHECKING:
    from deeptracker.recording.ingesting import ingest_run
    from deeptracker.recording.recorder import Recorder
    from deeptracker.recording.watching import watch

__all__ = ["Recorder", "ingest_run", "watch"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"deeptracker.recording.{_WHERE[name]}")
    value = globals()[name] = getattr(module, name)
    return value
