"""Groups that are written whole: architecture, images, coordinates, and what the analysis derives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from deeptracker.errors import DamagedRunError
from deeptracker.schema import group_of
from deeptracker.store import plausible
from deeptracker.store.arrays import Key, row_files
from deeptracker.store.continued import Continued
from deeptracker.store.edition import Edition
from deeptracker.store.layout import Grid, table_grid
from deeptracker.store.place import Place
from deeptracker.store.zarrays import Filling, NotAnArrayError, Writable, make_array, make_group, read_attributes

_COORDINATES = "coordinates"
ARRAYS = "arrays"
"""Attribute of a group that was written whole: the arrays in it, so that one that is missing is missed."""
Chunker = Callable[[tuple[str, ...], tuple[int, ...], int], Grid]


class Waiting(NamedTuple):
    """A Dask array whose values are still to be computed, and where they go.

    ``kept`` are rows that stay from an earlier version: they go to row ``start``, in front of ``data``.
    """

    data: Any
    array: Writable
    start: int
    kept: np.ndarray[Any, Any]


def fill_of(group: str, name: str, dtype: np.dtype[Any]) -> Any:
    """Fill value of an array: the schema's, or for a coordinate one that suits its dtype."""
    declared = group_of(group)
    if declared is not None and name in declared:
        return declared[name].fill
    if dtype.kind in "UOT":
        return ""
    return float("nan") if dtype.kind == "f" else 0 if dtype.kind in "ub" else -1


def storable(values: Any) -> np.ndarray[Any, Any]:
    """Texts as ``StringDType``, the only text that Zarr v3 takes without complaint; everything else as it is."""
    array = np.asarray(values)
    if array.dtype.kind in "UOT":
        texts = np.empty(array.size, np.dtypes.StringDType())
        for position, value in enumerate(array.ravel()):
            texts[position] = str(value)
        return texts.reshape(array.shape)
    return array


def plain(value: Any) -> Any:
    """A JSON-able form of an attribute."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def variable_attributes(group: str, name: str, own: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes of an array on disk: units and formula from the schema, then what the writer adds."""
    declared = group_of(group)
    attributes: dict[str, Any] = {}
    if declared is not None and name in declared:
        attributes = {"units": declared[name].units, "formula": declared[name].formula}
    return {**attributes, **plain(own)}


def _storable_dataset(dataset: xr.Dataset) -> xr.Dataset:
    """Without what opening builds again (MultiIndexes, labels along ``filter``) and without lone numbers."""
    drop = {str(name) for name, index in dataset.xindexes.items() if index.to_pandas_index().nlevels > 1}
    for key, coordinate in dataset.coords.items():
        if coordinate.ndim == 0 or coordinate.dims == ("filter",):
            drop.add(str(key))
    return dataset.drop_vars(drop)


def write_group(
    folder: Place,
    group: str,
    dataset: xr.Dataset,
    filling: Filling,
    chunker: Chunker | None = None,
    before: Continued | None = None,
) -> list[Waiting]:
    """Write a Dataset as a Zarr group, not yet durably; arrays for Dask variables are made but not filled.

    Parameters
    ----------
    folder : folder of the group, not there yet.
    group : the reader's path, for units and fill values.
    dataset : what to write.
    filling : what the arrays become part of; they are written when it is finished.
    chunker : (dims, shape, bytes of an item) → chunks; tables where it is left out.
    before : rows that stay in front of those of ``dataset``, where the group is continued.

    Returns
    -------
    list
        What the caller has to compute and store.
    """
    dataset = _storable_dataset(dataset)
    auxiliary = [str(name) for name in dataset.coords if name not in dataset.dims]
    attributes = plain(dataset.attrs)
    if auxiliary:
        attributes[_COORDINATES] = " ".join(auxiliary)
    attributes[ARRAYS] = [str(name) for name in dataset.variables]
    make_group(folder, attributes, durable=False)
    waiting: list[Waiting] = []
    for key, variable in dataset.variables.items():
        name, dims = str(key), tuple(map(str, variable.dims))
        lazy = variable.chunks is not None
        data = variable.data if lazy else storable(variable.values)
        size, shape, start = data.dtype.itemsize, data.shape, 0
        continued = before is not None and dims[:1] == (before.axis,)
        if before is not None and continued:
            shape = (before.rows + shape[0], *shape[1:])
        array = make_array(
            folder / name,
            shape,
            data.dtype,
            fill_of(group, name, data.dtype),
            chunker(dims, shape, size) if chunker else table_grid(shape, size),
            dims,
            variable_attributes(group, name, variable.attrs),
        )
        kept = np.empty((0, *shape[1:]), data.dtype)
        if before is not None and continued:
            start, kept = before.share(name, array)
        if lazy:
            waiting.append(Waiting(data, array, start, kept))
            continue
        data = np.concatenate([kept, data]) if len(kept) else data
        if data.size:
            filling.add(array, slice(start, None) if start else ..., data)
    return waiting


class TableArray(BackendArray):
    """A variable of a group that was written whole, indexed lazily; opened anew in every process.

    Parameters
    ----------
    places : folders of the group, the likelier first: it moves once, from the making into the hierarchy.
    label : how messages name the group.
    name : the variable.
    history : changes when the group is written again.
    checked : whether each read makes sure that it was not; who reads all of a group does so once.
    """

    def __init__(
        self, places: tuple[Place, ...], label: str, name: str, history: Edition, checked: bool = True
    ) -> None:
        self.places, self.label, self.name, self.history, self.checked = places, label, name, history, checked
        files = row_files(places[0] / name, history)
        self.shape, self.dtype = files.shape, files.dtype

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return ("deeptracker", str(self.places[-1]), self.name, str(self.history), self.shape)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._take)

    def _take(self, key: Key) -> np.ndarray[Any, Any]:
        first, rest = key[0], key[1:]
        rows: Any = np.asarray(first)
        if isinstance(first, slice):
            rows = slice(*first.indices(self.shape[0]))
        elif rows.ndim == 0:
            rows = slice(int(first), int(first) + 1)
        if 0 in self.shape or (isinstance(rows, slice) and not len(range(rows.start, rows.stop, rows.step or 1))):
            return np.empty(self.shape, self.dtype)[key]
        errors: list[Exception] = []
        for place in self.places:
            try:
                result = row_files(place / self.name, self.history).read(rows, rest)
                # A derived group has a folder of its own for each version: what is read there is of that one.
                if self.checked and not self.history.stage:
                    self.history.check()
                return result if isinstance(first, slice) or np.ndim(first) else result[0]
            except (OSError, DamagedRunError) as error:
                errors.append(error)
        self.history.check()
        raise DamagedRunError(
            f"{self.label}/{self.name} is damaged ({errors[-1]}): {self.history.verify} names every damaged part"
        ) from errors[-1]


def _texts_as_objects(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # pandas and Bokeh know nothing of StringDType yet.
    return array.astype(object) if array.dtype.kind == "T" else array


def read_group(
    places: tuple[Place, ...], label: str, history: Edition, leave_out: Collection[str] = ()
) -> xr.Dataset:
    """A group that was written whole, lazily indexed; coordinates and texts are loaded.

    Parameters
    ----------
    places : where it may lie, the newer place first: a group moves once, from the making into the hierarchy.
    label : how messages name it.
    history : changes when the group is written again.
    leave_out : arrays in the folder that are no part of it (the growing ones).

    Raises
    ------
    DamagedRunError
        The group is not where it was written.
    RunError
        It was written again meanwhile.
    """
    for _ in range(3):
        for place in places:
            try:
                attributes = read_attributes(place)
            except FileNotFoundError:
                continue
            ordered = (place, *(p for p in places if p != place))
            with suppress(FileNotFoundError):
                found = _read_group(ordered, attributes, label, history, leave_out)
                if (place / "zarr.json").is_file():  # else it moved while it was listed
                    if not history.stage:
                        history.check()
                    return found
            break
        else:
            break
    history.check()
    raise DamagedRunError(f"{label} is missing, or an array of it: {history.verify} names every damaged part")


def _read_group(
    places: tuple[Place, ...], attributes: dict[str, Any], label: str, history: Edition, leave_out: Collection[str]
) -> xr.Dataset:
    plausible.attributes(attributes)
    auxiliary = set(str(attributes.pop(_COORDINATES, "")).split())
    named = attributes.pop(ARRAYS, ())

    def read(child: Any) -> tuple[str, bool, xr.Variable] | None:
        try:
            metadata = row_files(child, history)
        except (FileNotFoundError, NotADirectoryError, NotAnArrayError):
            return None
        name = child.name
        lazy: Any = indexing.LazilyIndexedArray(TableArray(places, label, name, history))
        variable = xr.Variable(metadata.dims, lazy, metadata.attributes)
        is_coordinate = metadata.dims == (name,) or name in auxiliary
        if is_coordinate or metadata.dtype.kind == "T":
            lazy = indexing.LazilyIndexedArray(TableArray(places, label, name, history, checked=False))
            values = _texts_as_objects(np.asarray(xr.Variable(metadata.dims, lazy).values))
            variable = xr.Variable(metadata.dims, values, metadata.attributes)
        return name, is_coordinate, variable

    data: dict[str, xr.Variable] = {}
    coordinates: dict[str, xr.Variable] = {}
    children = [c for c in places[0].iterdir() if c.name not in {*leave_out, "zarr.json"}]
    for found in places[0].at_once(read, sorted(children, key=lambda c: c.name)):
        if found is not None:
            (coordinates if found[1] else data)[found[0]] = found[2]
    if isinstance(named, list) and not {*map(str, named)} <= data.keys() | coordinates.keys():
        raise FileNotFoundError  # moved while it was listed, or lost: never a group that silently lacks an array
    return xr.Dataset(data, coordinates, attributes)


def same_coordinates(wanted: Mapping[str, np.ndarray[Any, Any]], earlier: xr.Dataset) -> bool:
    """Whether a table has all of these coordinates, value for value."""
    return all(
        dim in earlier.coords
        and earlier[dim].shape == values.shape
        and bool((np.asarray(earlier[dim].values).astype(str) == values.astype(str)).all())
        for dim, values in wanted.items()
    )


__all__ = [
    "Waiting",
    "fill_of",
    "plain",
    "read_group",
    "same_coordinates",
    "storable",
    "variable_attributes",
    "write_group",
]
