"""Where people already train: ``lightning``, ``huggingface``, ``accelerate``, each loaded only when it is named."""

from __future__ import annotations

import importlib
from typing import Any

_ROOMS = ("lightning", "huggingface", "accelerate")


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted(_ROOMS)
