"""Mini-sets: filters of one layer that are anomalous in exactly the same (class, iteration) cells. Array tier.

Definition of Liu et al. 2018, doi:10.1145/3200489: filters with an identical membership signature; a set is kept
where (number of cells) × (number of filters) ≥ 4.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_WEIGHT = 4


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
    counts: npt.NDArray[np.bool_] = np.any(marked, axis=1)
    counted = found[counts[found[:, 0]]]
    signatures: dict[int, list[int]] = defaultdict(list)
    for number, filter_ in counted[np.lexsort((counted[:, 0], counted[:, 1]))].tolist():
        signatures[filter_].append(number)
    alike: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    for filter_, passes in signatures.items():
        alike[int(filter_layer[filter_]), tuple(passes)].append(filter_)
    sets = []
    for (layer, signature), filters in alike.items():
        cells = tuple((number, int(one)) for number in signature for one in np.flatnonzero(marked[number]))
        sets.append(MiniSet(layer, tuple(filters), cells))
    kept = [one for one in sets if one.weight >= LEAST_WEIGHT]
    return sorted(kept, key=lambda one: (-one.weight, one.layer, one.filters))


__all__ = ["LEAST_WEIGHT", "MiniSet", "minisets"]
