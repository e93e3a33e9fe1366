"""What libraries wrap around a model: names without it, and the module to call where a wrapper would do more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def clean(name: str, wrapped: bool) -> str:
    """Names without the wrappers of DDP, FSDP, checkpointing and torch.compile."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    return ".".join(parts[1:] if wrapped and parts[:1] == ["module"] else parts)


def is_wrapped(model: nn.Module) -> bool:
    """Whether the model is inside a wrapper that calls it ``module``."""
    return isinstance(getattr(model, "_orig_mod", model), _PARALLEL)


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside DDP: calling the wrapper would synchronise buffers, for which every rank has to call it."""
    inner = getattr(model, "_orig_mod", model)
    if isinstance(inner, nn.parallel.DistributedDataParallel):
        return unwrapped(inner.module)
    return model


def compiled(model: nn.Module) -> set[int]:
    """Identities of the modules that run as compiled code: no hook of theirs sees a call."""
    roots = [
        module for module in model.modules()
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
    ]  # fmt: skip
    return {id(module) for root in roots for module in root.modules()}


def uncompiled(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same, left alone where the code around it (``optimizer.step``) is compiled."""
    return torch.compiler.disable(work) if "torch._dynamo" in sys.modules else work  # any optimizer has loaded it


@contextmanager
def eager() -> Iterator[None]:
    """No compiled code inside: that would not call the hooks which were registered after it was made."""
    set_stance = getattr(torch.compiler, "set_stance", None)  # since torch 2.6
    if "torch._dynamo" not in sys.modules or set_stance is None:
        yield
        return
    with set_stance("force_eager"):
        yield


__all__ = ["clean", "compiled", "eager", "is_wrapped", "uncompiled", "unwrapped"]
