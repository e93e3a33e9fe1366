"""Mini-sets: filters of one layer that are anomalous in the same (class, iteration) cells. Array tier.

Definition of Liu et al. 2018, doi:10.1145/3200489: filters with an identical membership signature; a set is kept
where (number of cells) × (number of filters) ≥ 4. Under noise, one cell more or less in a signature parts what
belongs together: tolerant sets hold filters whose signatures are alike for the most part.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

LEAST_WEIGHT = 4
OVERLAP = 0.8
"""Of a tolerant set: a filter's cells with the set's, over those of either; and the share of filters that a cell of
the set needs."""
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class MiniSet:
    """One mini-set: number of its layer, positions of its filters, and its (pass, class) cells."""

    layer: int
    filters: tuple[int, ...]
    cells: tuple[tuple[int, int], ...]

    @property
    def weight(self) -> int:
        """Number of cells × number of filters."""
        return len(self.filters) * len(self.cells)


def minisets(
    found: npt.NDArray[np.int64], marked: npt.NDArray[np.bool_], filter_layer: npt.NDArray[np.integer]
) -> list[MiniSet]:
    """All mini-sets that are kept, heaviest first, then by layer and first filter.

    Parameters
    ----------
    found : (members, 2) distinct pairs (pass, filter) of anomalous filters.
    marked : (passes, classes) cells that count: the class is abnormal at the pass, and is not left out.
    filter_layer : (filters,) number of each filter's layer.
    """
    sets = [
        MiniSet(layer, tuple(filters), _cells(signature, marked))
        for (layer, signature), filters in _alike(found, marked, filter_layer).items()
    ]
    return _kept(sets)


def tolerant_minisets(
    found: npt.NDArray[np.int64], marked: npt.NDArray[np.bool_], filter_layer: npt.NDArray[np.integer]
) -> list[MiniSet]:
    """Mini-sets whose filters share at least ``OVERLAP`` of their cells with the set; parameters as of ``minisets``.

    Notes
    -----
    A set is closed: its filters are all (that are in no heavier set) whose signature overlaps its cells by 80%
    (Jaccard's index, over cells), and its cells are those of the passes at which 80% of its filters are anomalous. It
    is grown from the heaviest signature that is left, in turn; one that is not closed after 20 steps is left as it
    was, exact. Every filter is in one set at most.
    """
    by_layer: dict[int, dict[tuple[int, ...], list[int]]] = defaultdict(dict)
    for (layer, signature), filters in _alike(found, marked, filter_layer).items():
        by_layer[layer][signature] = filters
    weights = marked.sum(axis=1).astype(np.float64)
    return _kept(
        [
            MiniSet(layer, tuple(sorted(filters)), _cells(passes, marked))
            for layer, alike in by_layer.items()
            for passes, filters in _grown(list(alike.items()), weights)
        ]
    )


def _grown(
    alike: list[tuple[tuple[int, ...], list[int]]], weights: npt.NDArray[np.float64]
) -> list[tuple[tuple[int, ...], list[int]]]:
    """Tolerant sets of a layer, (passes, filters), from its signatures and the filters that have each."""
    sizes = np.array([len(filters) for _, filters in alike], np.float64)
    at = np.repeat(np.arange(len(alike)), [len(signature) for signature, _ in alike])
    passes = np.concatenate([np.array(signature, np.int64) for signature, _ in alike])
    has = sparse.csr_matrix((np.ones(len(at)), (at, passes)), shape=(len(alike), len(weights)))
    cells = has @ weights
    left, out = np.ones(len(alike), bool), []
    for seed in np.lexsort((np.arange(len(alike)), -sizes * cells)).tolist():
        if not left[seed]:
            continue
        core = has[[seed]].toarray()[0]
        closed = False
        for _ in range(_ROUNDS):
            shared = has @ (weights * core)
            overlap = shared / (cells + core @ weights - shared)
            mine = np.flatnonzero(left & (overlap >= OVERLAP))
            before, core = core, (sizes[mine] @ has[mine] >= OVERLAP * sizes[mine].sum()).astype(np.float64)
            closed = np.array_equal(core, before)
            if closed or not len(mine):
                break
        if not closed or seed not in mine:  # it grew on and on, or left behind what it began with
            core, mine = has[[seed]].toarray()[0], np.array([seed])
        left[mine] = False
        out.append(
            (tuple(np.flatnonzero(core).tolist()), [one for number in mine.tolist() for one in alike[number][1]])
        )
    return out


def _alike(
    found: npt.NDArray[np.int64], marked: npt.NDArray[np.bool_], filter_layer: npt.NDArray[np.integer]
) -> dict[tuple[int, tuple[int, ...]], list[int]]:
    """(layer, passes) → the filters that are anomalous at these passes and no others."""
    counts: npt.NDArray[np.bool_] = np.any(marked, axis=1)
    counted = found[counts[found[:, 0]]]
    signatures: dict[int, list[int]] = defaultdict(list)
    for number, filter_ in counted[np.lexsort((counted[:, 0], counted[:, 1]))].tolist():
        signatures[filter_].append(number)
    alike: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    for filter_, passes in signatures.items():
        alike[int(filter_layer[filter_]), tuple(passes)].append(filter_)
    return alike


def _cells(passes: tuple[int, ...], marked: npt.NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    return tuple((number, int(one)) for number in passes for one in np.flatnonzero(marked[number]))


def _kept(sets: list[MiniSet]) -> list[MiniSet]:
    kept = [one for one in sets if one.weight >= LEAST_WEIGHT]
    return sorted(kept, key=lambda one: (-one.weight, one.layer, one.filters))


__all__ = ["LEAST_WEIGHT", "OVERLAP", "MiniSet", "minisets", "tolerant_minisets"]
