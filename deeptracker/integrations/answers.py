"""Answers of a classifier, image by image, read off what a validation step hands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from deeptracker.record.evaluate import judged

Answers = dict[str, torch.Tensor]

_LOGITS = ("logits", "preds", "predictions", "predicted", "y_hat")
_TARGET = ("target", "targets", "label", "labels", "y")


def answers_of(outputs: Any, target: Any) -> Answers | None:
    """``predicted``, ``target`` and, from logits, ``loss`` of a batch; None where these are no answers of classes.

    Parameters
    ----------
    outputs : (image, class) logits, or (image,) integers: the predicted classes. Tensors or arrays.
    target : (image,) integers. A negative one, or one past the classes, is no class: its ``loss`` is NaN.

    Returns
    -------
    ``predicted`` and ``target`` (image,) int64, ``loss`` (image,) float32: cross-entropy in nat; from logits also
    ``correct``, see ``judged``. On the host.
    """
    given, truth = _tensor(outputs), _tensor(target)
    if given is None or truth is None or truth.ndim != 1 or not _whole(truth) or len(given) != len(truth):
        return None
    truth = truth.to(torch.int64)
    if given.ndim == 1 and _whole(given):
        return {"predicted": given.to(torch.int64).cpu(), "target": truth.cpu()}
    if given.ndim != 2 or given.shape[1] < 2 or not given.is_floating_point():
        return None
    known = (truth >= 0) & (truth < given.shape[1])
    loss = nn.functional.cross_entropy(given.float(), torch.where(known, truth, 0), reduction="none")
    loss = torch.where(known, loss, torch.nan)
    predicted, correct = judged(given, truth)
    return {"predicted": predicted.cpu(), "correct": correct.cpu(), "target": truth.cpu(), "loss": loss.cpu()}


def handed_out(outputs: Any, batch: Any, seen: Any = None) -> Answers | None:
    """Answers of a batch from what a validation step returned, or else from what the network gave.

    Parameters
    ----------
    outputs : returned by the step: a mapping with ``logits`` or ``preds``, and ``target`` where the batch does not
        show it; ``correct`` (image,) for tasks without one class an image; ``ids`` (image,) where images are not
        followed by position.
    batch : what the step got: (inputs, target) or a mapping with ``target`` or ``labels``.
    seen : what the network returned inside the step.
    """
    told = outputs if isinstance(outputs, Mapping) else {}
    truth = _first(told, _TARGET)
    truth = _of_batch(batch) if truth is None else truth
    logits = _first(told, _LOGITS)
    answers = answers_of(seen if logits is None else logits, truth)
    correct = _tensor(told.get("correct"))
    if answers is None and correct is not None and correct.ndim == 1:
        answers = {"correct": correct.to(torch.int64).cpu()}
    ids = _tensor(told.get("ids"))
    if answers is not None and ids is not None:
        answers["ids"] = ids.cpu()
    return answers


def joined(parts: Sequence[Answers]) -> Answers:
    """Batches one after another: what all of them have."""
    names = set.intersection(*(set(part) for part in parts))
    return {name: torch.cat([part[name] for part in parts]) for name in sorted(names)}


def _of_batch(batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return _first(batch, _TARGET)
    return batch[1] if isinstance(batch, list | tuple) and len(batch) > 1 else None


def _first(mapping: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((mapping[name] for name in names if mapping.get(name) is not None), None)


def _tensor(value: Any) -> torch.Tensor | None:
    if value is None or isinstance(value, Mapping):
        return None
    try:
        return torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError):
        return None


def _whole(tensor: torch.Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex()) and tensor.dtype != torch.bool


__all__ = ["Answers", "answers_of", "handed_out", "joined"]
