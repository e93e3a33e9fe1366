"""A sink that keeps everything in memory: what a test records into, and reads back without a disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from deeptracker.conform import check
from deeptracker.errors import InputError, MissingGroupError
from deeptracker.schema import group_of
from deeptracker.schema.variable import Group
from deeptracker.sink import Row


class MemoryRegion:
    """An array that tasks fill."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.values = np.zeros(shape, dtype)

    def add(self, _: Any, start: int, values: npt.NDArray[Any]) -> None:
        """Rows from ``start``."""
        self.values[start : start + len(values)] = values


class MemoryStage:
    """Takes the groups of one derived stage, checked against the schema."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.datasets: dict[str, xr.Dataset] = {}

    def begin(self, group: str, dataset: xr.Dataset, *, rows: int, after: int = 0) -> dict[str, MemoryRegion]:
        """Keep one group whose Dask arrays are to be filled: name → array."""
        check(dataset, group)
        names = [str(name) for name, data in dataset.data_vars.items() if data.chunks is not None]
        made = {name: MemoryRegion(dataset[name].shape, dataset[name].dtype) for name in names}
        filled = {name: (dataset[name].dims, made[name].values, dataset[name].attrs) for name in names}
        self.datasets[group] = dataset.assign(filled)
        return made

    def put(self, group: str, dataset: xr.Dataset) -> None:
        """Keep one group."""
        self.put_many({group: dataset})

    def put_many(self, datasets: Mapping[str, xr.Dataset], *, after: Mapping[str, int] | None = None) -> None:
        """Keep several groups."""
        for group, dataset in datasets.items():
            if group.split("/")[0] != self.stage:
                raise InputError(f"{group!r} is not a group of the stage {self.stage!r}")
            check(dataset, group)
            self.datasets[group] = dataset.compute()


class MemorySink:
    """Implements ``deeptracker.sink.Sink``, and the reading side of a run (``groups``, ``has``, ``dataset``).

    Derived datasets go in with ``put`` under the reader's path, so that a stage can be tested on hand-made inputs.
    """

    path = Path("memory")
    generation = 0
    background_seconds = 0.0
    lost = 0

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.closed = False
        self.stages: dict[str, dict[str, Any]] = {}
        self._tables: dict[str, xr.Dataset] = {}
        self._coordinates: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, list[tuple[int, dict[str, npt.NDArray[Any]]]]] = {}

    # -- writing --------------------------------------------------------------------------------------------------

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Merge attributes into those of the run."""
        self.attributes.update(attributes)

    def put(self, group: str, table: xr.Dataset) -> None:
        """Keep a copy of a static or derived group."""
        self.put_many({group: table})

    def put_many(self, tables: Mapping[str, xr.Dataset]) -> None:
        """Keep copies of several groups."""
        self._tables |= {group: table.copy(deep=True) for group, table in tables.items()}

    def get(self, group: str) -> xr.Dataset | None:
        """A static group as it was put, the coordinates of a growing one, or None."""
        if group in self._coordinates:
            return xr.Dataset(coords={dim: (dim, np.asarray(v)) for dim, v in self._coordinates[group].items()})
        return self._tables.get(group)

    def coordinates(self, group: str, coordinates: Mapping[str, Any]) -> None:
        """Fix the coordinates of a growing group's other axes."""
        self._coordinates[group] = dict(coordinates)

    def append(self, group: str, position: int, row: Row) -> None:
        """Add one row; raises ``InputError`` unless ``position`` lies past the last one and every name is known."""
        declared = self._declared(group)
        unknown = [name for name in row if name not in declared]
        if unknown and declared.open_to is None:
            raise InputError(f"{group} has no variable {unknown[0]}: see deeptracker.schema")
        rows = self._rows.setdefault(group, [])
        if rows and position <= rows[-1][0]:
            raise InputError(f"{group}: row {position} does not lie past the last one, {rows[-1][0]}")
        rows.append((int(position), {name: np.array(value) for name, value in row.items()}))

    def last(self, group: str) -> int | None:
        """The last position of a growing group, or None."""
        rows = self._rows.get(group)
        return rows[-1][0] if rows else None

    def first(self, group: str) -> int | None:
        """The first position of a growing group, or None."""
        rows = self._rows.get(group)
        return rows[0][0] if rows else None

    def cut(self, position: int) -> None:
        """Drop every row at or past ``position``."""
        for group, rows in self._rows.items():
            self._rows[group] = [row for row in rows if row[0] < position]

    def check(self) -> None:
        """Nothing goes wrong."""

    def flush(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Mark as closed."""
        self.closed = True

    @contextmanager
    def write_stage(self, stage: str, provenance: Mapping[str, Any]) -> Iterator[MemoryStage]:
        """Take a derived stage: what was put replaces the old result on a clean exit only."""
        writer = MemoryStage(stage)
        yield writer
        self._tables = {path: table for path, table in self._tables.items() if path.split("/")[0] != stage}
        self._tables.update(writer.datasets)
        version = self.stages.get(stage, {}).get("version", 0) + 1
        self.stages[stage] = {"generation": self.generation, "version": version, **provenance}

    def refresh(self) -> MemorySink:
        """The same: what was written can be read at once."""
        return self

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def groups(self) -> tuple[str, ...]:
        """Paths of everything that was written."""
        return (*self._tables, *(group for group, rows in self._rows.items() if rows))

    @property
    def validation_sets(self) -> tuple[str, ...]:
        """``<set>/<weights>`` of every validation group."""
        return tuple(g.removeprefix("validation/") for g in self.groups if g.startswith("validation/"))

    def has(self, group: str) -> bool:
        """Whether the group was written."""
        return group in self.groups

    def dataset(self, group: str, *, dask: bool = False, chunk: int = 64) -> xr.Dataset:
        """What a group holds, with labels as a run gives them; ``dask=True`` in chunks of ``chunk`` rows."""
        if group in self._tables:
            out = self._tables[group]
            return self._labelled(out.chunk() if dask else out.copy())
        if not self.has(group):
            raise MissingGroupError(f"nothing was recorded into {group}")
        declared = self._declared(group)
        rows = self._rows[group]
        axis = declared.append
        assert axis is not None
        variables: dict[str, Any] = {}
        for name in dict.fromkeys(name for _, row in rows for name in row):
            cells = [row.get(name) for _, row in rows]
            variables[name] = self._column(declared, axis, name, cells)
        positions = np.array([position for position, _ in rows], np.int64)
        out = xr.Dataset(variables, {axis: positions})
        out = out.assign_coords(
            {dim: (dim, values) for dim, values in self._coordinates.get(group, {}).items() if dim in out.dims}
        )
        out = self._labelled(out.chunk({axis: chunk}) if dask else out)
        out.encoding["shard_rows"] = chunk
        return out

    @staticmethod
    def _declared(group: str) -> Group:
        declared = group_of(group)
        if declared is None or declared.append is None:
            raise InputError(f"{group} is no group that grows: see deeptracker.schema.RECORDED")
        return declared

    @staticmethod
    def _column(declared: Group, axis: str, name: str, cells: list[npt.NDArray[Any] | None]) -> Any:
        given = next(cell for cell in cells if cell is not None)
        if name in declared:
            variable = declared[name]
            fill, dtype, dims = variable.fill, np.dtype(variable.dtype), variable.dims
            attributes = {"units": variable.units, "formula": variable.formula}
        else:
            fill, dtype, dims, attributes = np.nan, np.dtype("float64"), (axis,), {}
        missing = np.full(given.shape, fill, dtype)
        stacked = np.stack([missing if cell is None else cell.astype(dtype) for cell in cells])
        return dims, stacked, attributes

    def _labelled(self, table: xr.Dataset) -> xr.Dataset:
        """Attach (layer, channel) to the filter axis, and names to the layer axis, from the architecture."""
        architecture = self._tables.get("architecture")
        if architecture is None:
            return table
        names = architecture["layer"].values
        if "filter" in table.dims and "layer" not in table.dims and "filter" not in table.data_vars:
            pair = [names[architecture["filter_layer"].values], architecture["filter_channel"].values]
            index = pd.MultiIndex.from_arrays(pair, names=("layer", "channel"))
            return table.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "filter"))
        if "layer" in table.dims and "layer" not in table.coords:
            return table.assign_coords(layer=("layer", names))
        return table
