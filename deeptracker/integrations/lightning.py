"""Lightning: a callback that records a ``fit``, and a logger that takes what is logged with ``self.log``.

Both namespaces, ``lightning.pytorch`` and ``pytorch_lightning``, take them.
"""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DistributedSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from deeptracker.integrations.answers import Answers, handed_out, joined
from deeptracker.integrations.extra import missing
from deeptracker.integrations.scalars import settings
from deeptracker.integrations.session import Session, where
from deeptracker.recording.recorder import Recorder


def _bases(module: str, name: str) -> tuple[type, ...]:
    """The class of that name in each namespace that is installed; the two know nothing of one another."""
    found = []
    for package in ("lightning.pytorch", "pytorch_lightning"):
        try:
            found.append(getattr(importlib.import_module(f"{package}.{module}"), name))
        except ImportError:
            continue
    if not found:
        raise missing("lightning", "lightning")
    return tuple(found)


_SHUFFLING = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
_CALLBACK, _LOGGER = _bases("callbacks", "Callback"), _bases("loggers", "Logger")


class DeepTrackerLogger(*_LOGGER):  # type: ignore[misc]
    """Takes the scalars of ``self.log`` and the hyperparameters into the run of a ``DeepTrackerCallback``.

    ``Trainer(logger=DeepTrackerLogger(), callbacks=[DeepTrackerCallback("runs/mine")])``, or in a list beside other
    loggers. Scalars come as often as the trainer logs (``log_every_n_steps``) and belong to the update before;
    ``train/acc`` becomes ``train_acc``, ``loss`` becomes ``logged_loss``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.session: Session | None = None  # set by the callback
        self.hyperparameters: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "deeptracker"

    @property
    def version(self) -> str:
        """Runs have names, not versions."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Scalars of the last update."""
        if self.session is not None:
            self.session.log({name: value for name, value in metrics.items() if name != "step"})

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The attribute ``config`` of the run; Lightning calls it before the training starts."""
        self.hyperparameters |= settings(vars(params) if isinstance(params, Namespace) else dict(params))


class DeepTrackerCallback(*_CALLBACK):  # type: ignore[misc]
    """Records a ``Trainer.fit``.

    - A record for each update of the weights, however many batches are accumulated, under the trainer's
      ``global_step`` after it: the number that checkpoints carry. ``loss`` is what the update minimises.
    - The answers of each validation pass, image by image, from the pass that the trainer makes anyway: ``logits`` or
      ``preds``, and ``target``, where ``validation_step`` returns them in a dictionary; else what ``forward``, or the
      network inside the module, gave in that step, with the second part of the batch as target. Other tasks than
      classification return ``{"correct": …}``, one integer an image. Passes of the sanity check do not count.
    - Several validation loaders are the sets ``validation``, ``validation_1``, …. A loader that shuffles is left out,
      unless the step returns ``ids``. What ``trainer.validate`` does outside of ``fit`` is not recorded.
    - Of a manual optimization, one record a batch in which an optimizer stepped; ``loss`` is what ``training_step``
      returned.

    Layers are named within the network: the one child of the module that holds all parameters, where there is one.

    Parameters
    ----------
    path : folder of the run, by default ``deeptracker`` in the trainer's ``default_root_dir``. A fit that resumes
        from a checkpoint (``ckpt_path=``) goes on with the run that the checkpoint was made in.
    images : arguments of ``Recorder.images``: names of classes, thumbnails.
    options : of ``Recorder``: ``every``, ``full_every``, ``include``, ….

    Raises
    ------
    InputError
        ``Recorder`` does not know an option.
    """

    def __init__(
        self, path: str | Path | None = None, *, images: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__()
        self._session = Session(path, images, options)
        self._loss: torch.Tensor | None = None
        self._batches = 0
        self._step = 0
        self._restored: str | None = None
        self._pass: dict[int, list[Answers]] = {}
        self._hooks: list[Any] = []
        self._seen: dict[nn.Module, list[torch.Tensor]] = {}

    @property
    def recorder(self) -> Recorder | None:
        """The recorder while a fit goes on."""
        return self._session.recorder

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """After the sanity check and the checkpoint: weights and optimizers are those that train."""
        place = self._session.path or Path(trainer.default_root_dir) / "deeptracker"
        config: dict[str, Any] = {}
        for logger in trainer.loggers:
            if isinstance(logger, DeepTrackerLogger):
                logger.session = self._session
                config |= logger.hyperparameters
        resumed = self._restored if trainer.global_step else None
        self._session.open(network(pl_module), trainer.optimizers, where(place, resumed), config=config)
        self._step, self._loss, self._batches = trainer.global_step, None, 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A batch; where the optimizer stepped after it, an update."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            self._loss = loss.detach().clone() if self._loss is None else self._loss + loss.detach()
            self._batches += 1
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        loss, batches = self._loss, self._batches
        self._loss, self._batches = None, 0
        if loss is not None and not pl_module.automatic_optimization:
            loss = loss / batches  # Lightning divides by itself where it accumulates
        self._session.step(self._step, loss)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Look at what the network gives, in case the step does not return it."""
        self._pass = {}
        if self.recorder is not None:  # there is none yet in the sanity check
            modules = {id(module): module for module in (pl_module, network(pl_module))}
            self._hooks = [module.register_forward_hook(self._look) for module in modules.values()]

    def _look(self, module: nn.Module, _: Any, output: Any) -> None:
        # Also called around the step itself where a strategy sends it through the module's forward.
        if not torch.compiler.is_compiling() and isinstance(output, torch.Tensor) and output.ndim == 2:
            self._seen.setdefault(module, []).append(output)

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the answers of a batch."""
        seen, self._seen = self._seen, {}
        if not self._hooks:
            return
        # One call of the network in a step is its answer to the batch; of several, nobody knows which.
        calls = seen.get(pl_module) or next(iter(seen.values()), [])
        given = calls[0] if len(calls) == 1 else None

        def keep() -> None:
            answers = handed_out(outputs, batch, given)
            if answers is not None:
                self._pass.setdefault(dataloader_idx, []).append(answers)

        self._session.guarded(keep)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the answers of the pass."""
        if not self._hooks:
            return
        self._stop_looking()
        parts, self._pass = self._pass, {}
        if not parts:
            self._session.say(
                "validation answers are not recorded: return {'logits': …, 'target': …} from validation_step"
            )
        loaders = _flat(trainer.val_dataloaders)
        for number, batches in parts.items():
            sampler = getattr(loaders[number], "sampler", None) if number < len(loaders) else None
            self._session.guarded(partial(self._record, trainer, number, batches, sampler))

    def _record(self, trainer: Any, number: int, batches: list[Answers], sampler: Any) -> None:
        answers = joined(batches)
        name = f"validation_{number}" if number else "validation"
        if "ids" not in answers:
            shared = isinstance(sampler, DistributedSampler)
            if isinstance(sampler, _SHUFFLING) or (shared and sampler.shuffle):
                self._session.say(f"the loader of {name!r} shuffles, so its images cannot be followed: not recorded")
                return
            if shared:  # each rank has its part of the images
                count = len(next(iter(answers.values())))
                answers["ids"] = torch.tensor(list(sampler)[:count])
        self._session.validation(trainer.global_step, name, answers)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """What was recorded until then is kept."""
        self._stop_looking()
        self._session.close()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """The end of the run; a further ``fit`` of the same trainer goes on with it."""
        self._restored = self.state_dict()["path"]
        self._session.close()

    def _stop_looking(self) -> None:
        for handle in self._hooks:
            handle.remove()
        self._hooks, self._seen = [], {}

    def state_dict(self) -> dict[str, Any]:
        """Where this training is recorded: a checkpoint of it goes on there."""
        return {"path": None if self.recorder is None else str(self.recorder.path)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._restored = state_dict.get("path")


def network(pl_module: nn.Module) -> nn.Module:
    """The one child of a module that holds all its parameters, where there is one and it can be called."""
    children = [child for child in pl_module.children() if any(True for _ in child.parameters())]
    containers = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
    if len(children) != 1 or isinstance(children[0], containers) or pl_module._parameters:
        return pl_module
    return children[0]


def _flat(loaders: Any) -> Sequence[Any]:
    if isinstance(loaders, Mapping):
        return list(loaders.values())
    return list(loaders) if isinstance(loaders, list | tuple) else [loaders]


__all__ = ["DeepTrackerCallback", "DeepTrackerLogger", "network"]
