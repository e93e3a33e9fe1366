"""The hooks that a recorder hangs on a training, in the order in which a training step meets them::

forward of the model          first pass only: order of the layers, graph        (then taken off)
loss.backward()
optimizer.step()
    pre-step hook             learning rates; gradients, where a record is due
                              (where optimizer.step() gets a closure: once that was called, since it computes them)
    (the optimizer's update)
recorder.step(n)              weights are read, rows are written; what no hook read is read here
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from deeptracker.record.describe import Description, FirstPass, describe
from deeptracker.record.layers import Layer
from deeptracker.record.modules import NORMALISATIONS
from deeptracker.record.wrappers import compiled, uncompiled


class _Hook:
    """A forward hook that stays with the model it was made for: copies of the model get one that does nothing."""

    def __init__(self, call: Callable[[nn.Module, Any], None]) -> None:
        self._call = call

    def __call__(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        # A hook that is compiled into the model would stay there for good.
        if not torch.compiler.is_compiling():
            self._call(module, output)

    def __reduce__(self) -> tuple[Any, ...]:
        return _no_hook, ()


def _nothing(*_: Any) -> None:
    """In the place of a hook in a copy of the model, or in a model that was pickled before its first pass."""


def _no_hook() -> Callable[..., None]:
    return _nothing


class Hooks:
    """Everything that is attached to foreign objects; ``remove`` leaves them as they were.

    Parameters
    ----------
    before : called inside ``optimizer.step()`` with its gradients there, before the update.
    guard : wraps every callback, so that a fault of ours never ends the training.
    rehearse : runs a forward pass without compiled code, and returns its output: what describes a compiled model.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        description: Description,
        *,
        before: Callable[[torch.optim.Optimizer], None],
        guard: Callable[[Callable[[], None]], None],
        rehearse: Callable[[], Any] | None,
    ) -> None:
        self.described = False
        self._description, self._before, self._guard = description, before, guard
        self._rehearse = rehearse
        self._seen = FirstPass()
        self._handles: list[Any] = []
        blind = compiled(model)  # a hook that comes and goes would have it compiled anew
        self._first_pass: list[Any] = self._watch(blind)
        if id(model) not in blind:
            self._first_pass.append(model.register_forward_hook(_Hook(self._after_forward)))
        step = uncompiled(self._step)
        for optimizer in optimizers:
            self._handles.append(optimizer.register_step_pre_hook(step))

    def _watch(self, blind: Collection[int] = ()) -> list[Any]:
        """Hook all layers and normalisations but some; the handles."""
        handles = []
        owned: dict[int, list[Layer]] = {}
        for layer in self._description.layers:
            owned.setdefault(id(layer.module), []).append(layer)
        for name, module in self._description.modules.items():
            hook: Callable[[nn.Module, Any], None] | None = None
            if id(module) in blind:
                continue
            if id(module) in owned:
                hook = self._called(name, [(layer.owner, layer.attribute) for layer in owned.pop(id(module))])
            elif isinstance(module, NORMALISATIONS):
                hook = self._called(None, [(module, "weight")])
            if hook is not None:  # before FSDP's own, which takes the parameters away again
                handles.append(module.register_forward_hook(_Hook(hook), prepend=True))
        return handles

    def _called(self, name: str | None, parameters: list[tuple[nn.Module, str]]) -> Callable[[nn.Module, Any], None]:
        def called(module: nn.Module, output: Any) -> None:
            if name is not None:
                self._seen.order.append(name)
                self._seen.results.setdefault(id(module), getattr(output, "grad_fn", None))
            for owner, attribute in parameters:
                if (used := owner._parameters.get(attribute)) is not None:
                    self._seen.used.append((owner, attribute, used))

        return called

    def _after_forward(self, _model: nn.Module, output: Any) -> None:
        if torch.is_grad_enabled():  # a pass without gradients has no graph to read
            self._guard(lambda: self.finish(output))
        else:
            self._seen = FirstPass()

    def finish(self, output: Any = None) -> None:
        """Complete the description, once, and take off the hooks that served it."""
        if self.described:
            return
        self.described = True
        for handle in self._first_pass:
            handle.remove()
        self._first_pass.clear()
        if output is None and not self._seen.order and self._rehearse is not None:
            handles = self._watch()
            try:
                with suppress(Exception):  # what is wrong with the probe is said when it is due
                    output = self._rehearse()
            finally:
                for handle in handles:
                    handle.remove()
        seen, self._seen = self._seen, FirstPass()  # holds the graph no longer than needed
        seen.output = output
        describe(self._description, seen)

    def _step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if not callable(closure):
            self._guard(lambda: self._before(optimizer))
            return None
        read = False

        def evaluated(*inputs: Any, **named: Any) -> Any:
            nonlocal read
            loss = closure(*inputs, **named)
            if not read:  # a search along a line evaluates many times: the first is at the weights before the step
                read = True
                self._guard(lambda: self._before(optimizer))
            return loss

        if "closure" in kwargs:
            return args, {**kwargs, "closure": evaluated}
        return (args[0], evaluated, *args[2:]), kwargs

    def remove(self) -> None:
        """Take everything off."""
        for handle in (*self._handles, *self._first_pass):
            handle.remove()
        self._handles.clear()
        self._first_pass.clear()
