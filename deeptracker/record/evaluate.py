"""One validation pass that leaves no trace in the training."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler
from torch.utils.data.distributed import DistributedSampler

from deeptracker.errors import InputError
from deeptracker.record.graph import tensors
from deeptracker.record.wrappers import unwrapped

Array = np.ndarray[Any, Any]
_SHUFFLING = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every random state and every module's training flag is as before.

    Even an unshuffled DataLoader draws from torch's generator, so a validation pass would change the training.
    """
    flags = {module: module.training for module in model.modules()}
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    devices = (
        list(range(torch.cuda.device_count())) if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    )
    device_states = [torch.cuda.get_rng_state(device) for device in devices]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags.items():
            module.training = flag
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        for device, state in zip(devices, device_states, strict=True):
            torch.cuda.set_rng_state(state, device)


def evaluate(model: nn.Module, loader: Iterable[Any]) -> dict[str, Array]:
    """Answers of a classifier on every image of a loader of (images, targets) batches.

    Of a model inside DDP the module inside is called, which any rank can do by itself.

    Returns
    -------
    ``predicted`` and ``correct`` as ``judged`` has them, ``target`` (image,) integers and ``loss`` (image,) float32,
    cross-entropy in nat, in the order of the loader; with a ``DistributedSampler`` also ``ids``, the positions in the
    data set that this rank evaluated.

    Raises
    ------
    InputError
        The loader shuffles (images could not be followed), yields no pairs, or is empty.
    """
    sampler: Any = getattr(loader, "sampler", None)
    shared = isinstance(sampler, DistributedSampler)
    if isinstance(sampler, _SHUFFLING) or (shared and sampler.shuffle):
        raise InputError("the validation loader shuffles: images could not be followed; give one with shuffle=False")
    model = unwrapped(model)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    predicted, correct, target, loss = [], [], [], []
    with untouched(model):
        positions = list(sampler) if shared else []
        for batch in loader:
            if not isinstance(batch, (tuple, list)) or len(batch) < 2:
                raise InputError("the validation loader must yield (images, targets); or call recorder.validation(…)")
            images, truth = batch[0].to(device), batch[1].to(device)
            logits = tensors(model(images))[0].float()
            if truth.shape != logits.shape[:1]:
                raise InputError(f"the validation loader gives targets {tuple(truth.shape)}, not one class an image")
            answer, right = judged(logits, truth)
            predicted.append(answer.cpu())
            correct.append(right.cpu())
            loss.append(nn.functional.cross_entropy(logits, truth, reduction="none").cpu())
            target.append(truth.cpu())
    if not predicted:
        raise InputError("the validation loader is empty")
    parts = {"predicted": predicted, "correct": correct, "target": target, "loss": loss}
    answers: dict[str, Array] = {name: torch.cat(values).numpy() for name, values in parts.items()}
    if shared:
        answers["ids"] = np.array(positions[: len(answers["predicted"])], np.int64)
    return answers


def judged(logits: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Class of the largest logit of each image, and whether it is right (1, 0; −1 where there is no true class).

    Of NaN ``argmax`` makes the class that it meets first, and some images would be right by it: −1 and wrong.
    """
    predicted = torch.where(logits.isnan().any(1), -1, logits.argmax(1))
    return predicted, torch.where(truth >= 0, (predicted == truth).to(torch.int8), -1)


def spread(answers: dict[str, Array], count: int) -> dict[str, Array]:
    """Answers with ``ids`` as positions, over all ``count`` images: −1 or NaN where no rank evaluated one."""
    places = answers["ids"]
    out: dict[str, Array] = {}
    for name, fill in (("predicted", -1), ("correct", -1), ("target", -1), ("loss", np.nan)):
        out[name] = np.full(count, fill, answers[name].dtype)
        out[name][places] = answers[name]
    return out


__all__ = ["evaluate", "judged", "spread", "untouched"]
