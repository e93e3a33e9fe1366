"""The hooks that a recorder hangs on a training, in the order in which a training step meets them::

forward of the model          first pass only: order of the layers, graph        (then taken off)
loss.backward()
optimizer.step()
    pre-step hook             learning rates; gradients, where a record is due
    (the optimizer's update)
recorder.step(n)              weights are read, rows are written; what no hook read is read here
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from deeptracker.record.describe import Description, describe


class Hooks:
    """Everything that is attached to foreign objects; ``remove`` leaves them as they were.

    Parameters
    ----------
    before : called inside ``optimizer.step()``, before the update.
    guard : wraps every callback, so that a fault of ours never ends the training.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        description: Description,
        *,
        before: Callable[[torch.optim.Optimizer], None],
        guard: Callable[[Callable[[], None]], None],
    ) -> None:
        self.described = False
        self._description = description
        self._order: list[str] = []
        self._handles: list[Any] = []
        self._first_pass: list[Any] = [model.register_forward_hook(self._after_forward)]
        self._guard = guard
        for name in {description.name_of(layer.module): None for layer in description.layers}:
            self._first_pass.append(description.modules[name].register_forward_hook(self._called(name)))
        for optimizer in optimizers:
            self._handles.append(optimizer.register_step_pre_hook(lambda o, *_: guard(lambda: before(o))))

    def _called(self, name: str) -> Callable[..., None]:
        def called(*_: Any) -> None:
            # A hook that is compiled into the model would stay there for good, or have it compiled anew.
            if not torch.compiler.is_compiling():
                self._order.append(name)

        return called

    def _after_forward(self, _model: nn.Module, _inputs: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if torch.is_grad_enabled():  # a pass without gradients has no graph to read
            self._guard(lambda: self.finish(output))
        else:
            self._order.clear()

    def finish(self, output: Any = None) -> None:
        """Complete the description, once, and take off the hooks that served it."""
        if self.described:
            return
        self.described = True
        for handle in self._first_pass:
            handle.remove()
        self._first_pass.clear()
        describe(self._description, self._order, output)

    def remove(self) -> None:
        """Take everything off."""
        for handle in (*self._handles, *self._first_pass):
            handle.remove()
        self._handles.clear()
        self._first_pass.clear()
