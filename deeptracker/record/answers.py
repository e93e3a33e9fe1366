"""Validation sets and the answers of every pass, aligned to one order of images per set.

Images are stored sorted by class, so that a class lies together on disk; ids keep who is who. The order is fixed by
the first pass (or by ``images``); later passes may name any of these images, the others count as not evaluated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data.distributed import DistributedSampler

from deeptracker.conform import answers as checked
from deeptracker.conform import build, declaration
from deeptracker.errors import InputError
from deeptracker.record.evaluate import evaluate, spread
from deeptracker.record.ranks import Exchange
from deeptracker.sink import Sink

Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class ValidationSet:
    """Images in stored order; ``place`` is the stored position of the i-th image as the user gives them."""

    ids: Array
    target: Array
    classes: list[str]
    place: Array
    thumbnails: Array | None = None
    written: bool = False


class Answers:
    """All validation sets of a recording.

    Parameters
    ----------
    exchange : brings the answers of all ranks to rank 0, which alone writes them.
    together : a forward pass takes all ranks (sharded parameters), so that each evaluates whatever the loader.
    tell : says something to the user.
    """

    def __init__(self, exchange: Exchange, together: bool, tell: Callable[[str], None]) -> None:
        self._exchange, self._together, self._tell = exchange, together, tell
        self._sets: dict[str, ValidationSet] = {}
        self._opened: set[str] = set()
        self._noise_known: set[str] = set()
        self.evaluation_seconds = 0.0  # the user's own work, which any training without us does too

    def images(
        self,
        name: str,
        target: npt.ArrayLike,
        ids: npt.ArrayLike | None = None,
        classes: Sequence[str] | None = None,
        thumbnails: npt.ArrayLike | None = None,
    ) -> None:
        """Fix the images of a set, sorted by class; see ``Recorder.images``."""
        if name in self._sets:
            raise InputError(f"images(): the set {name!r} is described already")
        declaration(f"images/{name}")
        truth = _integers(target, "target")
        labels = np.arange(len(truth)) if ids is None else np.asarray(ids)
        if labels.shape != truth.shape:
            raise InputError(f"images(): {len(labels)} ids for {len(truth)} targets")
        if labels.dtype.kind not in "iu":
            labels = np.array(labels.tolist(), "U")
        if len(np.unique(labels)) != len(labels):
            raise InputError("images(): ids are not unique")
        known = list(classes) if classes is not None else [str(i) for i in range(int(truth.max(initial=-1)) + 1)]
        if len(truth) and int(truth.max()) >= len(known):
            raise InputError(f"images(): target {int(truth.max())} has no name among {len(known)} classes")
        order = np.argsort(truth, kind="stable")
        place = np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        pictures = None if thumbnails is None else _pictures(thumbnails, len(truth))[order]
        self._sets[name] = ValidationSet(labels[order], truth[order], [str(c) for c in known], place, pictures)

    def put(self, sink: Sink) -> None:
        """Write the sets that are described and not yet written."""
        for name, images in self._sets.items():
            if images.written:
                continue
            images.written = True
            position = np.argsort(images.place).astype(np.int32)
            arrays: dict[str, Array] = {"target": images.target.astype(np.int32), "position": position}
            if images.thumbnails is not None:
                arrays["thumbnail"] = images.thumbnails
            table = build(f"images/{name}", arrays, {"image": images.ids, "class": images.classes})
            stored = sink.get(f"images/{name}")
            # A resumed training describes the same set again: what was made of it stays true.
            if stored is None or not stored.equals(table):
                sink.put(f"images/{name}", table)

    def record(
        self,
        sink: Sink,
        view: str,
        step: int,
        *,
        predicted: npt.ArrayLike | None = None,
        correct: npt.ArrayLike | None = None,
        loss: npt.ArrayLike | None = None,
        confidence: npt.ArrayLike | None = None,
        target: npt.ArrayLike | None = None,
        ids: npt.ArrayLike | None = None,
    ) -> None:
        """One pass over ``view`` = set/weights; see ``Recorder.validation``."""
        if predicted is None and correct is None:
            raise InputError("validation(): give predicted= or correct=")
        declaration(f"validation/{view}")
        given = {"predicted": predicted, "correct": correct, "loss": loss, "confidence": confidence}
        arrays = {key: np.asarray(_host(value)) for key, value in given.items() if value is not None}
        arrays |= {key: checked(key, arrays[key]) for key in ("predicted", "correct") if key in arrays}
        share = arrays.get("confidence")
        if share is not None and ((share < 0) | (share > 1 + 1e-3)).any():
            raise InputError("validation(): confidence lies between 0 and 1")
        if target is not None:
            arrays["target"] = np.asarray(_host(target))
        if ids is not None:
            arrays["ids"] = np.asarray(_host(ids))
        size = len(next(iter(arrays.values())))
        for key, value in arrays.items():
            if value.shape != (size,):
                raise InputError(f"validation(): {key} has shape {value.shape}, expected ({size},)")
        if self._exchange.rank:
            self._exchange.post(view, step, arrays)
        else:
            self._record(sink, view, step, self._collect(view, step, arrays))

    def _collect(self, view: str, step: int, arrays: dict[str, Array]) -> dict[str, Array]:
        """The answers of all ranks."""
        before = len(self._exchange.silent)
        arrays = self._exchange.collect(view, step, arrays)
        if self._exchange.silent[before:]:
            ranks = ", ".join(map(str, self._exchange.silent))
            self._tell(f"no answers came from rank {ranks}; from now on only those of rank 0 are recorded")
        return arrays

    def _record(self, sink: Sink, view: str, step: int, arrays: dict[str, Array]) -> None:
        """One pass, as all ranks gave it together."""
        name = view.split("/")[0]
        target, ids = arrays.pop("target", None), arrays.pop("ids", None)
        size = len(next(iter(arrays.values())))
        if name not in self._sets:
            stored = sink.get(f"images/{name}")
            if stored is not None:
                self._sets[name] = _restored(stored)
            else:
                self.images(name, np.full(size, -1) if target is None else target, ids)
                ids = None
            self.put(sink)
        images = self._sets[name]
        place = self._places(images, name, size, ids)
        row: dict[str, Array] = {
            "predicted": np.full(len(images.ids), -1, np.int16),
            "correct": np.full(len(images.ids), -1, np.int8),
            "loss": np.full(len(images.ids), np.nan, np.float16),
        }
        if "predicted" in arrays:
            row["predicted"][place] = arrays["predicted"]
        if "correct" in arrays:
            row["correct"][place] = arrays["correct"]
        else:
            answered = (row["predicted"] >= 0) & (images.target >= 0)
            row["correct"][answered] = (row["predicted"] == images.target)[answered]
        if "confidence" in arrays:
            with np.errstate(divide="ignore"):
                arrays["loss"] = -np.log(arrays["confidence"].astype(np.float64))
        if "loss" in arrays:
            with np.errstate(over="ignore"):
                row["loss"][place] = arrays["loss"].astype(np.float16)
        group = f"validation/{view}"
        if group not in self._opened:
            self._opened.add(group)
            sink.coordinates(group, {"image": images.ids})
        sink.append(group, step, row)

    def evaluate(self, sink: Sink, view: str, step: int, model: nn.Module, loader: Iterable[Any]) -> None:
        """Evaluate a model and record its answers; the first time, also how far an evaluation repeats itself.

        A loader with a ``DistributedSampler`` gives every rank its part of the images. With any other loader each
        rank sees all of them, and those of rank 0 count.
        """
        shared = isinstance(getattr(loader, "sampler", None), DistributedSampler)
        writes = self._exchange.rank == 0
        if not (writes or shared or self._together):
            return
        began = time.perf_counter()
        answers = evaluate(model, loader)
        self.evaluation_seconds += time.perf_counter() - began
        if view not in self._noise_known and (writes or self._together):
            self._noise_known.add(view)
            again = evaluate(model, loader)["predicted"]
            sink.describe({"evaluation_noise": {view: float(np.mean(again != answers["predicted"]))}})
        if not writes:
            if shared:
                self._exchange.post(view, step, answers)
            return
        if shared:
            answers = spread(self._collect(view, step, answers), len(loader.dataset))  # type: ignore[attr-defined]
        name = view.split("/")[0]
        if name not in self._sets and sink.get(f"images/{name}") is None:
            self.images(name, answers["target"])
        given = {"predicted": checked("predicted", answers["predicted"]), "correct": answers["correct"]}
        self._record(sink, view, step, {**given, "loss": answers["loss"]})

    @staticmethod
    def _places(images: ValidationSet, name: str, size: int, ids: npt.ArrayLike | None) -> Array:
        if ids is None:
            if size != len(images.place):
                raise InputError(
                    f"validation(): {size} answers for {len(images.place)} images of {name!r}; name them with ids="
                )
            return images.place
        wanted = np.asarray(ids)
        wanted = wanted if images.ids.dtype.kind in "iu" else np.array(wanted.tolist(), "U")
        order = np.argsort(images.ids)
        found = order[np.minimum(np.searchsorted(images.ids, wanted, sorter=order), len(order) - 1)]
        if len(wanted) != size or not np.array_equal(images.ids[found], wanted):
            raise InputError(f"validation(): ids= names images that the set {name!r} does not hold")
        return found


def _restored(stored: Any) -> ValidationSet:
    """A set as an earlier session wrote it."""
    ids = stored["image"].values
    ids = ids if ids.dtype.kind in "iu" else np.array(ids.tolist(), "U")
    place = np.argsort(stored["position"].values)
    classes = [str(c) for c in stored["class"].values]
    return ValidationSet(ids, stored["target"].values, classes, place, written=True)


def _host(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def _integers(values: Any, what: str) -> Array:
    array = np.asarray(_host(values))
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"images(): {what} must be one integer an image, not {array.dtype} of shape {array.shape}")
    if array.size and not -1 <= int(array.min()) <= int(array.max()) <= np.iinfo(np.int16).max:
        raise InputError(f"images(): {what} goes from {array.min()} to {array.max()}; classes from 0 to 32,767")
    return array.astype(np.int64)


def _pictures(values: Any, count: int) -> Array:
    array = np.asarray(_host(values))
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or len(array) != count or array.shape[-1] not in (1, 3, 4):
        raise InputError(f"images(): thumbnails must be ({count}, y, x) or ({count}, y, x, band), not {array.shape}")
    if 0 in array.shape[1:]:
        raise InputError(f"images(): thumbnails of {array.shape[1]} × {array.shape[2]} pixels show nothing")
    if array.dtype.kind == "f":
        array = np.clip(np.nan_to_num(array) * 255, 0, 255).round()
    elif array.size and not 0 <= int(array.min()) <= int(array.max()) <= 255:
        raise InputError(f"images(): thumbnails hold {array.min()} to {array.max()}; give 0 to 255, or floats to 1")
    return array.astype(np.uint8)
