"""Answers of validation passes from tables: one set of images, its passes in order of iteration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deeptracker.conform import answers as _checked
from deeptracker.conform import build
from deeptracker.errors import InputError
from deeptracker.ingest.arrays import load
from deeptracker.ingest.classes import with_numbers
from deeptracker.ingest.foreign import understood
from deeptracker.ingest.scalars import whole
from deeptracker.ingest.tables import columns, counts_epochs, read_table, stack
from deeptracker.sink import Sink

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
_MOST_CLASSES = int(np.iinfo(np.int16).max)
_HALF_PRECISION = 1e-2


@dataclass(slots=True)
class Pass:
    """One pass over all images of a set; −1 (NaN) = not evaluated.

    ``ties`` counts images whose largest score is that of two classes: the first one was taken.
    """

    predicted: Array
    correct: Array
    loss: Array
    ties: int = 0


@dataclass(slots=True)
class PassTable:
    """The answers of one file, images as the file has them. ``iterations`` is None where it tells none."""

    name: str
    ids: Array
    target: Array
    classes: list[str]
    passes: list[Pass]
    iterations: list[int] | None
    epochs: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PassSet:
    """The passes over one set of images, of as many files as have the same images."""

    name: str
    ids: Array
    target: Array
    classes: list[str]
    passes: dict[int, Pass] = field(default_factory=dict)

    def write(self, sink: Sink) -> None:
        """Write ``images/<set>``, sorted by class, and a row of ``validation/<set>/raw`` for each pass."""
        order = np.argsort(self.target, kind="stable")
        images = {"target": self.target[order].astype(np.int32), "position": order.astype(np.int32)}
        ids = self.ids[order]
        group, view = f"images/{self.name}", f"validation/{self.name}/raw"
        sink.put(group, build(group, images, {"image": ids, "class": self.classes}))
        sink.coordinates(view, {"image": ids})
        for iteration in sorted(self.passes):
            one = self.passes[iteration]
            sink.append(
                view,
                iteration,
                {"predicted": one.predicted[order], "correct": one.correct[order], "loss": one.loss[order]},
            )


def read_passes(path: Path) -> PassTable:
    """The answers of one table.

    Raises
    ------
    InputError
        Columns do not fit one another.
    """
    with understood(path.name):
        if path.suffix.lower() == ".npz":
            return _of_arrays(path.name, load(path))
        return _of_rows(path.name, read_table(path))


def _of_arrays(name: str, content: Mapping[str, Any]) -> PassTable:
    """Arrays (iteration, image, …), or (image, …) for one pass."""
    found, classes, notes = with_numbers(columns(content), name)
    target = found.get("target")
    numbers = ("predicted", "correct", "loss", "confidence")
    answers = {key: np.atleast_1d(_floats(found[key], name, key)) for key in numbers if key in found}
    scores = next((_floats(found[key], name, key) for key in ("logits", "probabilities") if key in found), None)
    if scores is not None:
        if scores.ndim not in (2, 3):
            raise InputError(f"{name}: logits have shape {scores.shape}, not (iteration, image, class)")
        scores = scores if scores.ndim == 3 else scores[None]
    size = scores.shape[1] if scores is not None else next(iter(answers.values())).shape[-1]
    target = np.full(size, -1) if target is None else _integers(target, name, "target")
    count = scores.shape[0] if scores is not None else int(np.prod(next(iter(answers.values())).shape[:-1]))
    rows = {key: value.reshape(-1, size) if value.size == count * size else value for key, value in answers.items()}
    for key, value in {**rows, "target": target[None]}.items():
        expected = (1, size) if key == "target" else (count, size)
        if value.shape != expected:
            raise InputError(f"{name}: {key} has shape {value.shape}, expected {count} passes over {size} images")
    ids = _labels(np.asarray(found["image"]), name) if "image" in found else np.arange(size)
    if ids.shape != (size,) or len(np.unique(ids)) != size:
        raise InputError(f"{name}: {ids.shape} ids for {size} images, or some twice: give one id an image")
    iterations = found.get("iteration")
    if iterations is not None:
        iterations = [whole(value, name) for value in np.atleast_1d(_floats(iterations, name, "iteration"))]
        if len(iterations) != count or len(set(iterations)) != count:
            raise InputError(f"{name}: {len(set(iterations))} different iterations for {count} passes")
    logits = "logits" in found
    passes = []
    for i in range(count):
        one, spread = {key: value[i] for key, value in rows.items()}, None if scores is None else scores[i]
        where = f"pass {i + 1}" if iterations is None else f"iteration {iterations[i]}"
        _check_shares(name, ids, where, one.get("confidence"), None if logits else spread)
        passes.append(_pass(target, one, spread, logits))
    table = PassTable(name, ids, target, classes, passes, iterations, counts_epochs(content), notes)
    return _with_classes(table, None if scores is None else scores.shape[2])


def _of_rows(name: str, table: pd.DataFrame) -> PassTable:
    """One row for each image of each pass."""
    found, classes, notes = with_numbers(columns(table), name)
    ids, image = np.unique(_labels(np.asarray(found["image"]), name), return_inverse=True)
    moments, moment = np.unique(_floats(found["iteration"], name, "iteration"), return_inverse=True)
    target = np.full(len(ids), -1)
    if "target" in found:
        given = _integers(found["target"], name, "target")
        target[image] = given
        if not np.array_equal(target[image], given):
            raise InputError(f"{name}: an image has two different targets: give each image one")
    scores = next((stack(found[key], name, key) for key in ("logits", "probabilities") if key in found), None)
    iterations = [whole(float(value), name) for value in moments]
    logits, passes = "logits" in found, []
    for number, iteration in enumerate(iterations):
        rows = np.flatnonzero(moment == number)
        place = image[rows]
        if len(np.unique(place)) != len(place):
            raise InputError(f"{name}: an image appears twice at iteration {iteration}: drop one")
        answers: dict[str, Array] = {}
        for key in ("predicted", "correct", "loss", "confidence"):
            if key in found:
                answers[key] = np.full(len(ids), np.nan)
                answers[key][place] = _floats(found[key], name, key)[rows]
        spread = None
        if scores is not None:
            spread = np.full((len(ids), scores.shape[1]), np.nan)
            spread[place] = scores[rows]
        _check_shares(name, ids, f"iteration {iteration}", answers.get("confidence"), None if logits else spread)
        passes.append(_pass(target, answers, spread, logits))
    result = PassTable(name, ids, target, classes, passes, iterations, counts_epochs(table), notes)
    return _with_classes(result, None if scores is None else scores.shape[1])


def _check_shares(name: str, ids: Array, where: str, confidence: Array | None, probabilities: Array | None) -> None:
    """See that numbers that mean probabilities can be ones; NaN (no answer) can.

    Raises
    ------
    InputError
        One lies outside of 0 … 1, or those of an image do not make 1, by more than half precision explains.
    """
    with np.errstate(invalid="ignore"):
        if confidence is not None and (wrong := (confidence < 0) | (confidence > 1 + 1e-3)).any():
            first = np.flatnonzero(wrong)[0]
            raise InputError(
                f"{name}: confidence {confidence[first]:g} of image {ids[first]} at {where}: it lies between 0 and "
                "1, as the probability of the true class"
            )
        if probabilities is None:
            return
        total, least = probabilities.sum(axis=1), probabilities.min(axis=1, initial=0)
        if (wrong := (least < 0) | (np.abs(total - 1) > _HALF_PRECISION)).any():
            first = np.flatnonzero(wrong)[0]
            what = f"{total[first]:g} is the sum of" if least[first] >= 0 else f"{least[first]:g} is among"
            raise InputError(
                f"{name}: {what} the probabilities of image {ids[first]} at {where}: they lie between 0 and 1 and "
                "make 1 together; call scores of another kind logits"
            )


def _pass(target: Array, answers: Mapping[str, Array], scores: Array | None, logits: bool) -> Pass:
    """Class, correctness and loss of each image; what is not given is derived, NaN means not evaluated."""
    size, known = len(target), target >= 0
    predicted = np.full(size, -1, np.int16)
    correct = np.full(size, -1, np.int8)
    loss = np.full(size, np.nan)
    ties = 0
    if scores is not None:
        evaluated = ~np.isnan(scores).any(axis=1)
        if "predicted" not in answers:
            ties = int(((scores == scores.max(axis=1, keepdims=True)).sum(axis=1) > 1)[evaluated].sum())
        predicted[evaluated] = _checked("predicted", scores[evaluated].argmax(axis=1))
        with np.errstate(divide="ignore", invalid="ignore"):  # of a probability of 0, of logits without end
            shifted = scores - scores.max(axis=1, keepdims=True) if logits else np.log(scores)
        fits = known & evaluated & (target < scores.shape[1])
        chosen = np.where(fits, np.take_along_axis(shifted, np.where(fits, target, 0)[:, None], 1)[:, 0], np.nan)
        loss = np.log(np.exp(shifted).sum(axis=1)) - chosen if logits else -chosen
    if "predicted" in answers:
        predicted = _checked("predicted", answers["predicted"])
    if "correct" in answers:
        correct = _checked("correct", answers["correct"])
    else:
        answered = known & (predicted >= 0)
        correct[answered] = (predicted == target)[answered]
    if "loss" in answers:
        loss = answers["loss"].astype(np.float64)
    elif "confidence" in answers:
        with np.errstate(divide="ignore"):
            loss = -np.log(answers["confidence"].astype(np.float64))
    with np.errstate(over="ignore"):
        return Pass(predicted, correct, loss.astype(np.float16), ties)


def _with_classes(table: PassTable, scored: int | None) -> PassTable:
    most = max([int(table.target.max(initial=-1)), *(int(one.predicted.max(initial=-1)) for one in table.passes)])
    needed = max(most + 1, scored or 0)
    if needed > _MOST_CLASSES:
        raise InputError(f"{table.name}: class number {needed - 1:,}, but they go up to {_MOST_CLASSES - 1:,} only")
    if table.classes and len(table.classes) < needed:
        raise InputError(f"{table.name}: {len(table.classes)} names for {needed} classes")
    table.classes = table.classes or [str(number) for number in range(needed)]
    return table


def _floats(values: Any, name: str, what: str) -> Array:
    if np.asarray(values).dtype.kind in "cmM":  # NumPy would drop an imaginary part, and count the days since 1970
        raise InputError(f"{name}: {what} must be real numbers")
    try:
        return np.asarray(values, np.float64)
    except (ValueError, TypeError):
        raise InputError(f"{name}: {what} must be numbers") from None


def _integers(values: Any, name: str, what: str) -> Array:
    array = np.asarray(values)
    numbers = _floats(array, name, what)
    if array.ndim != 1 or not np.array_equal(numbers, np.rint(numbers)):
        raise InputError(f"{name}: {what} must be one class number an image, not {array.dtype} of {array.shape}")
    return numbers.astype(np.int64)


def _labels(ids: Array, name: str) -> Array:
    if ids.dtype.kind in "iu":
        return ids
    if empty := sum(value is None or value != value or value == "" for value in ids.flat):
        raise InputError(f"{name}: {empty:,} answers are of no image: give every image an id")
    return ids.astype(str)


__all__ = ["Pass", "PassSet", "PassTable", "read_passes"]
