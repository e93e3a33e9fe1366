"""DeepTracker: record what happens inside a network while it trains, find what was unusual, show it.

``import deeptracker as dt`` loads nothing heavy: the stages come in when they are first named (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Recorder": "deeptracker.recording",
    "watch": "deeptracker.recording",
    "ingest_run": "deeptracker.recording",
    "open_run": "deeptracker.store",
    "Run": "deeptracker.store",
    "analyze": "deeptracker.analysis",
    "counterfactual": "deeptracker.restore",
    "follow": "deeptracker.following",
    "view": "deeptracker.view",
    "export": "deeptracker.export",
    "app": "deeptracker.app",
    "integrations": "deeptracker.integrations",
    "testing": "deeptracker.testing",
    "errors": "deeptracker.errors",
    "schema": "deeptracker.schema",
}
_SUBPACKAGES = {"view", "export", "app", "integrations", "testing", "errors", "schema"}

if TYPE_CHECKING:
    from deeptracker import app, errors, export, integrations, schema, testing, view
    from deeptracker.analysis import analyze
    from deeptracker.following import follow
    from deeptracker.recording import Recorder, ingest_run, watch
    from deeptracker.restore import counterfactual
    from deeptracker.store import Run, open_run

__all__ = [
    "Recorder",
    "Run",
    "__version__",
    "analyze",
    "app",
    "counterfactual",
    "errors",
    "export",
    "follow",
    "ingest_run",
    "integrations",
    "open_run",
    "schema",
    "testing",
    "view",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'deeptracker' has no attribute {name!r}")
    module = importlib.import_module(_WHERE[name])
    value = module if name in _SUBPACKAGES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
