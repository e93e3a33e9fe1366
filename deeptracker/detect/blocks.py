"""What one task works on: some whole layers, over some records and the ones that their scores look back on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.aggregate import Source
from deeptracker.detect.carried import LOOKS_BACK
from deeptracker.detect.scores import LEAST_FILTERS

if TYPE_CHECKING:
    from deeptracker.store import Run

Index = npt.NDArray[np.int64]

BLOCK_FILTERS = 2048
WINDOW_RECORDS = 2048
"""Filters and records of a task, about: 2,048 × 2,449 float64 are 40 MB, and a score takes some four of them."""


class Block:
    """Some consecutive whole layers.

    No dataclass: Dask would look for tasks in all of its fields.

    Parameters
    ----------
    architecture : the group, loaded.
    layers : the layers' numbers.

    Attributes
    ----------
    filters : place of the filters on the filter axis.
    layer : (filters,) number of each filter's layer, 0 … n−1 within the block.
    common_of : (n,) for each layer the one whose filters' median is its common move: itself, or the first of its
        block where it has fewer than 8 filters.
    rate : (filters,) parameter group whose learning rate each filter has.
    activation : (n,) the nonlinearity that follows each layer.
    """

    def __init__(self, architecture: xr.Dataset, layers: slice) -> None:
        first, sizes = architecture["first_filter"].values, architecture["filters"].values.astype(np.int64)
        self.layers = layers
        self.filters = slice(int(first[layers.start]), int(first[layers.stop - 1] + sizes[layers.stop - 1]))
        count = layers.stop - layers.start
        self.layer = np.repeat(np.arange(count), sizes[layers])
        blocks = architecture["block"].values[layers]
        of_block = {name: number for number, name in reversed(list(enumerate(blocks)))}
        small = sizes[layers] < LEAST_FILTERS
        self.common_of = np.array([of_block[blocks[n]] if small[n] else n for n in range(count)], np.int64)
        self.rate = np.maximum(architecture["lr_group"].values[layers].astype(np.int64), 0)[self.layer]
        self.activation = [str(name) for name in architecture["activation"].values[layers]]

    def read(self, source: Source, names: tuple[str, ...], start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """Rows of some variables of the block's filters, (rows, filters) each."""
        return {name: source.read(name, start, stop, self.filters) for name in names}


def blocks(architecture: xr.Dataset) -> list[Block]:
    """All layers, about ``BLOCK_FILTERS`` filters a block, at least one layer; no layer is cut."""
    out, first, filters = [], 0, 0
    sizes = architecture["filters"].values.tolist()
    for number, size in enumerate(sizes):
        if filters and filters + size > BLOCK_FILTERS:
            out.append(Block(architecture, slice(first, number)))
            first, filters = number, 0
        filters += int(size)
    return [*out, Block(architecture, slice(first, len(sizes)))]


def spans(records: int, multiple: int = 1) -> Iterator[tuple[int, int, int]]:
    """(first record that is read, start, stop) of each window; scores of [start, stop) look back to the first.

    Windows begin at multiples of ``multiple`` records.
    """
    size = -(-WINDOW_RECORDS // multiple) * multiple
    for start in range(0, records, size):
        yield max(start - LOOKS_BACK, 0), start, min(start + size, records)


def rows(run: Run, group: str) -> Iterator[tuple[int, int]]:
    """(start, stop) of windows of a group's rows, for what needs no look back."""
    count = run.dataset(group).sizes["iteration"]
    for start in range(0, count, WINDOW_RECORDS):
        yield start, min(start + WINDOW_RECORDS, count)


__all__ = ["Block", "blocks", "rows", "spans"]
