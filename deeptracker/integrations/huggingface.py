"""Hugging Face ``Trainer``: a callback that records a training, and what keeps the answers of its evaluations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from deeptracker.integrations.answers import Answers, answers_of, joined
from deeptracker.integrations.extra import missing
from deeptracker.integrations.session import Session, where
from deeptracker.recording.recorder import Recorder

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise missing("huggingface", "transformers") from error

_MEMORY = "deeptracker.json"  # in a checkpoint: where its training is recorded


class DeepTrackerCallback(TrainerCallback):
    """Records ``Trainer.train``.

    - A record for each update of the weights, however many batches are accumulated, under the ``global_step`` after
      it: the number that checkpoints carry.
    - ``loss`` of each update is the one that the model returns, summed or averaged over the accumulated batches as
      the trainer does. Where it returns none (label smoothing, ``compute_loss_func``, a compiled model), ``loss`` is
      the average that the trainer logs, at the steps where it logs.
    - Everything that the trainer logs: ``eval_loss`` and metrics under their names, ``loss``, ``grad_norm`` (before
      clipping) and ``learning_rate`` as ``logged_loss`` and so on.
    - Answers of each evaluation, example by example, where the trainer collects them anyway: only if it is given
      ``compute_metrics=callback.compute_metrics(yours)``. Recorded are classes (labels are one integer an example,
      predictions are logits of classes or the classes). Regression, several labels at once, and labels by token are
      not. The set is ``validation``; of ``eval_dataset={"easy": …}`` it is ``easy``.
    - Not recorded: ``predict``, and what is evaluated after ``train`` has returned.

    An exception ends the training without a word to callbacks: ``close`` then commits the run, as does the next
    ``train`` and the end of the process.

    Parameters
    ----------
    path : folder of the run, by default ``deeptracker`` in ``output_dir``. A training that resumes from a checkpoint
        goes on with the run that the checkpoint was made in.
    images : arguments of ``Recorder.images``. Names of classes come from the model's configuration by themselves.
    options : of ``Recorder``: ``every``, ``full_every``, ``include``, ….

    Raises
    ------
    InputError
        ``Recorder`` does not know an option.
    """

    def __init__(
        self, path: str | Path | None = None, *, images: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        self._session = Session(path, images, options)
        self._losses: list[torch.Tensor] = []
        self._summed = False
        self._without_loss = False
        self._world = 1
        self._handle: Any = None
        self._answers: list[Answers] = []

    @property
    def recorder(self) -> Recorder | None:
        """The recorder while a training goes on."""
        return self._session.recorder

    def compute_metrics(self, metrics: Callable[..., dict[str, Any]] | None = None) -> Callable[..., dict[str, Any]]:
        """``metrics``, the user's own or none, in a wrapper that keeps the answers for ``on_evaluate``.

        With it the trainer gathers all logits of an evaluation; ``batch_eval_metrics=True`` keeps a batch at a time.
        """

        def computed(prediction: Any, compute_result: bool | None = None) -> dict[str, Any]:
            self._session.guarded(lambda: self._keep(prediction))
            mode = {} if compute_result is None else {"compute_result": compute_result}
            return {} if metrics is None else metrics(prediction, **mode)

        return computed

    def _keep(self, prediction: Any) -> None:
        logits, labels = prediction.predictions, prediction.label_ids
        answers = answers_of(logits[0] if isinstance(logits, tuple) else logits, labels)
        if answers is not None:
            self._answers.append(answers)

    # What the trainer calls

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """The model and the optimizer are those that train, with the weights of the checkpoint."""
        place = self._session.path or Path(args.output_dir) / "deeptracker"
        self._stop_looking()
        place = where(place, _remembered(args, state))
        self._session.open(model, [kwargs["optimizer"]], place, config=args.to_sanitized_dict())
        self._losses, self._answers = [], []
        self._world = args.world_size if getattr(args, "average_tokens_across_devices", False) else 1
        if args.n_gpu <= 1:  # replicas of one process each have a loss of their own
            self._handle = model.register_forward_hook(self._look, with_kwargs=True)

    def _look(self, model: torch.nn.Module, _: Any, named: Mapping[str, Any], output: Any) -> None:
        if not model.training or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return
        first = output[0] if isinstance(output, tuple) and output else None
        loss = output.get("loss") if isinstance(output, Mapping) else first
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            self._losses.append(loss.detach())
            self._summed = named.get("num_items_in_batch") is not None

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An update; the trainer counts it afterwards."""
        losses, self._losses = self._losses, []
        loss = None
        if losses:
            total = torch.stack([one.float() for one in losses]).sum()
            loss = total * self._world if self._summed else total / len(losses)
        self._without_loss = loss is None
        self._session.step(state.global_step + 1, loss)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """What the trainer logs belongs to the update before."""
        late = (logs or {}).get("loss") if self._without_loss else None
        self._session.log(logs or {}, late)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Answers that ``compute_metrics`` has seen are those of the current weights."""
        parts, self._answers = self._answers, []
        if not parts or self.recorder is None:
            return
        prefix = next((name.removesuffix("_runtime") for name in metrics or {} if name.endswith("_runtime")), "eval")
        name = prefix.removeprefix("eval").lstrip("_") or "validation"
        names = _classes(kwargs.get("model"))
        self._session.guarded(lambda: self._session.validation(state.global_step, name, joined(parts), names))

    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Answers to a test set are not the training's."""
        self._answers = []

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave in the checkpoint where it is recorded."""
        memory = _memory(args, state)
        if self.recorder is not None and state.is_world_process_zero and memory.parent.is_dir():
            text = json.dumps({"path": str(self.recorder.path)})

            def leave() -> None:
                memory.write_text(text)

            self._session.guarded(leave)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The end of the run."""
        self.close()

    def close(self) -> None:
        """Commit and end the recording; the trainer does it at the end of ``train``."""
        self._stop_looking()
        self._session.close()

    def _stop_looking(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


def _memory(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}" / _MEMORY


def _remembered(args: Any, state: Any) -> str | None:
    """Where the training was recorded whose checkpoint it resumes from, if that lies in its own folder."""
    try:
        return str(json.loads(_memory(args, state).read_text())["path"]) if state.global_step else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _classes(model: Any) -> list[str] | None:
    names = getattr(getattr(model, "config", None), "id2label", None)
    return None if not names else [str(names[number]) for number in sorted(names)]


__all__ = ["DeepTrackerCallback"]
