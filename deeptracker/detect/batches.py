"""Faults of the data that the batches themselves show: images twice, few classes at a time, a class that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deeptracker.detect.alarms import Alarm, stretches

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

PAST = 50  # batches before anything is said
MOST_CLASSES = 100_000
"""Labels from here on are no classes, and nothing is said of them."""
_ROWS = 4096  # read at once
_CELLS = 1 << 22  # of a table (batches, classes) that is counted at once
_CROWDED = 8.0  # deviations of the number of pairs alike
_REPEATED = 0.25  # share of a batch that is there more than once, above the usual
_EXPECTED = 30.0  # images of a class that should have come by now: e⁻³⁰ is the chance of none
_MOVED = 0.5  # of them that another class has more


@dataclass(slots=True)
class Batches:
    """What each batch held, told window by window.

    Attributes
    ----------
    crowd : (records,) how many pairs of a batch are of one class, in deviations from what the shares of all classes
        so far let expect; NaN in the first 50.
    repeated : (records,) share of the ids of a batch that are in it more than once; NaN without ids.
    gone : of each class that stayed away for longer than chance explains, (class, first and last such record, how
        many images were expected).
    """

    crowd: list[Array] = field(default_factory=list)
    repeated: list[Array] = field(default_factory=list)
    gone: list[tuple[int, int, int, float]] = field(default_factory=list)
    _seen: int = 0
    # Of each class: images so far; first record of its absence, its share then, and images expected since.
    _counts: Array = field(default_factory=lambda: np.zeros(0))
    _since: Array = field(default_factory=lambda: np.zeros(0))
    _share: Array = field(default_factory=lambda: np.zeros(0))
    _expected: Array = field(default_factory=lambda: np.zeros(0))

    def see(self, labels: npt.NDArray[np.int64] | None, ids: npt.NDArray[np.int64] | None) -> None:
        """The next batches, (records, samples); −1 fills up."""
        rows = len(labels if labels is not None else ids if ids is not None else ())
        self.repeated.append(np.full(rows, np.nan) if ids is None else _repeated(ids))
        classes = 0 if labels is None else max(len(self._counts), int(labels.max(initial=-1)) + 1)
        if labels is None or classes > MOST_CLASSES:
            self.crowd.append(np.full(rows, np.nan))
            self._seen += rows
            return
        most = max(1, _CELLS // max(classes, 1))
        for start in range(0, rows, most):
            self._labels(labels[start : start + most], classes)

    def _labels(self, labels: npt.NDArray[np.int64], classes: int) -> None:
        for name in ("_counts", "_since", "_share", "_expected"):
            of_class = getattr(self, name)
            setattr(self, name, np.pad(of_class, (0, classes - len(of_class))))
        counts = np.zeros((len(labels), classes))
        np.add.at(counts, (np.nonzero(labels >= 0)[0], labels[labels >= 0]), 1)
        before = self._counts + np.cumsum(counts, axis=0) - counts
        share = before / np.maximum(before.sum(1, keepdims=True), 1)
        crowd = _crowd(counts, share)
        crowd[: max(PAST - self._seen, 0)] = np.nan
        self.crowd.append(crowd)
        for row in range(max(PAST - self._seen, 0), len(counts)):
            self._absences(self._seen + row, counts[row], share[row])
        self._counts = self._counts + counts.sum(0)
        self._seen += len(labels)

    def _absences(self, record: int, counts: Array, share: Array) -> None:
        """Go on with the classes that stay away, and end those that are back."""
        back = counts > 0
        self._end(back, record - 1)
        begins = ~back & (self._expected == 0)
        self._since[begins], self._share[begins] = record, share[begins]
        self._expected = np.where(back, 0.0, self._expected + counts.sum() * self._share)

    def _end(self, back: npt.NDArray[np.bool_], last: int) -> None:
        for label in np.flatnonzero(back & (self._expected >= _EXPECTED)).tolist():
            self.gone.append((label, int(self._since[label]), last, float(self._expected[label])))

    def finish(self) -> None:
        """There are no more batches."""
        self._end(np.ones(len(self._expected), bool), self._seen - 1)


def _repeated(ids: npt.NDArray[np.int64]) -> Array:
    ordered = np.sort(ids, axis=1)
    there = ordered >= 0
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & there[:, 1:]).sum(1)
    return np.asarray(twice / np.maximum(there.sum(1), 1), np.float64)


def _crowd(counts: Array, share: Array) -> Array:
    """Pairs of one class, Σ n(n−1)/2, in deviations from their mean under a multinomial distribution."""
    n = counts.sum(1)
    pairs, triples = n * (n - 1) / 2, n * (n - 1) * (n - 2) / 6
    second, third = (share**2).sum(1), (share**3).sum(1)
    variance = pairs * (second - second**2) + 6 * triples * (third - second**2)
    found = (counts * (counts - 1) / 2).sum(1)
    return np.asarray((found - pairs * second) / np.sqrt(np.maximum(variance, 1.0)))


def batch_alarms(run: Run, gap: int) -> list[Alarm]:
    """Alarms of what the recorded batches held; none where ids and labels were not recorded.

    ``gap`` joins what lies so many iterations apart. They are facts: their height is infinite.
    """
    if not run.has("batches"):
        return []
    table, seen = run.dataset("batches"), Batches()
    iteration = table["iteration"].values
    for labels, ids in _rows(table, len(iteration)):
        seen.see(labels, ids)
    seen.finish()
    out = []
    crowd, repeated = (np.concatenate(parts) if parts else np.zeros(0) for parts in (seen.crowd, seen.repeated))
    for what, height, least in (("crowded", crowd, _CROWDED), ("repeated", repeated, _REPEATED)):
        standing = height - _usual(height) >= least
        for begin, end in _lasting(seen.gone, standing):
            standing[begin : end + 1] = False
        for first, last in stretches(standing, iteration, gap):
            highest = float(np.nanmax(height[first : last + 1]))
            out.append(_alarm(what, -1, iteration, first, first, last, {"height": highest}))
    for label, first, last, expected in seen.gone:
        instead = _instead(table, label, first, last, expected)
        each = expected / (last - first + 1)  # images of the class that a batch lets expect
        known, onset = (min(first + int(np.ceil(some / each)) - 1, last) for some in (_EXPECTED, _EXPECTED / 2))
        what = "gone" if instead < 0 else "relabelled"
        alarm = _alarm(what, label, iteration, first, known, last, {"expected": expected, "instead": instead})
        if what == "gone":
            # A batch or two without a class are nothing: as of other alarms, the onset is at half of what proves it.
            alarm.onset = int(iteration[onset])
        out.append(alarm)
    return out


def _lasting(gone: list[tuple[int, int, int, float]], standing: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Absences of a class, (first and last record), in less than half of which a batch stands out by itself.

    Where one class is gone or renamed others come more often, and now and then a batch is crowded by that; where
    few classes come at a time, nearly every batch is.
    """
    for _, first, last, _ in gone:
        if standing[first : last + 1].mean() < 0.5:
            yield first, last


def _rows(table: Any, records: int) -> Iterator[tuple[Any, Any]]:
    for start in range(0, records, _ROWS):
        rows = slice(start, min(start + _ROWS, records))
        some = [table[name][rows].values.astype(np.int64) if name in table else None
                for name in ("batch_labels", "batch_ids")]  # fmt: skip
        yield tuple(None if one is None or (one < 0).all() else one for one in some)  # type: ignore[misc]


def _instead(table: Any, label: int, first: int, last: int, expected: float) -> int:
    """The class that had about as many images more as another had less in these batches, or −1."""
    before, then = (
        np.bincount(rows[rows >= 0], minlength=label + 1).astype(np.float64)
        for rows in (
            table["batch_labels"][part].values
            for part in (slice(max(first - _ROWS, 0), first), slice(first, last + 1))
        )
    )
    size = max(len(before), len(then))
    before, then = (np.pad(one, (0, size - len(one))) for one in (before, then))
    usual = before * then.sum() / max(before.sum(), 1)
    more = then - usual
    most = int(more.argmax())
    return most if more[most] > _MOVED * expected and more[most] > 5 * np.sqrt(usual[most]) else -1


def _usual(height: Array) -> float:
    """What is usual in this run: samplers may draw few classes at a time, or images twice, on purpose."""
    known = height[np.isfinite(height)]
    return float(np.median(known)) if len(known) else 0.0


def _alarm(
    what: str, place: int, iteration: Index, first: int, known: int, last: int, facts: dict[str, Any]
) -> Alarm:
    onset, end = int(iteration[first]), int(iteration[last])
    facts["batches"] = last - first + 1
    return Alarm("batch", place, what, onset, end, onset, int(iteration[known]), float("inf"), 0.0, facts=facts)


__all__ = ["PAST", "Batches", "batch_alarms"]
