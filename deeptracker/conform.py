"""Checks of everything that comes in, and construction of everything that goes out, against the schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deeptracker.errors import InputError
from deeptracker.schema import Group, Variable, group_of

_TEXT_KINDS = "UOT"


def declaration(group: str) -> Group:
    """The schema's declaration of a concrete path.

    Raises
    ------
    InputError
        The schema has no such group.
    """
    found = group_of(group)
    if found is None:
        raise InputError(f"the schema has no group {group!r}: see deeptracker.schema.GROUPS for the names it has")
    for part, given in zip(found.path.split("/"), group.strip("/").split("/"), strict=True):
        if part.startswith("<") and (given.startswith((".", "_")) or given == "zarr.json" or _unwritable(given)):
            raise InputError(
                f"{given[:60]!r} cannot name a {part[1:-1]}: use a short name without '.' or '_' in front"
            )
    return found


def variable(group: str, name: str) -> Variable:
    """The declaration of one variable; a group that is open takes any further float64 name along its open dims.

    Raises
    ------
    InputError
        The group neither declares the name nor is open to more.
    """
    declared = declaration(group)
    if name in declared:
        return declared[name]
    if declared.open_to is None:
        known = ", ".join(item.name for item in declared.variables)
        raise InputError(f"group {group!r} has no variable {name!r}: it holds {known}")
    # Axes of the group have arrays of their own; and a name is one of a file: not Zarr's, nor longer than disks take.
    taken = {"zarr.json", *(dim for item in declared.variables for dim in item.dims)}
    if not name or "/" in name or name.startswith(("_", ".")) or name in taken or _unwritable(name):
        shown = name if len(name) <= 60 else f"{name[:60]}…"
        raise InputError(f"{shown!r} cannot name a scalar: use a short, plain name without '/', '.' or '_' in front")
    return Variable(name, declared.open_to, "float64", "1", "as logged by the user", optional=True)


def _unwritable(name: str) -> bool:
    try:
        return len(name.encode()) > 200 or not name.isprintable()
    except UnicodeEncodeError:
        return True


def position(value: Any, what: str = "step") -> int:
    """A place on a growing axis: a whole number from 0 to 2⁵³ − 1, of whatever type.

    Past that neither JSON nor an axis of a figure tells one iteration from the next, and below 0 means "never".

    Raises
    ------
    InputError
        It is none.
    """
    try:
        number = int(value) if float(value).is_integer() and int(value) == value else -1
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = -1
    if not 0 <= number < 2**53:
        shown = value.item() if isinstance(value, np.generic) else value
        raise InputError(f"{what} {shown!r} is no whole number from 0 to 9,007,199,254,740,991 (2^53 − 1)")
    return number


def answers(name: str, values: Any) -> np.ndarray[Any, Any]:
    """What ``predicted`` or ``correct`` of a validation pass become in the store; NaN is −1: no answer.

    Raises
    ------
    InputError
        A value is no whole number, or none that the declared type holds: NumPy would wrap it round in silence.
    """
    given = np.asarray(values)
    most = 1 if name == "correct" else np.iinfo(np.int16).max
    if given.dtype.kind not in "biuf":
        raise InputError(f"{name} must be one number an image, not {given.dtype}")
    known = np.where(np.isnan(given), -1, given) if given.dtype.kind == "f" else given
    wrong = (known < -1) | (known > most) | (known != np.floor(known)) if known.dtype.kind != "b" else known & False
    if wrong.any():
        raise InputError(f"{name} {known[wrong][0]} is no whole number from 0 to {most:,} (−1 or NaN: not evaluated)")
    return known.astype(np.int8 if name == "correct" else np.int16)


def numpy_dtype(declared: Variable) -> np.dtype[Any]:
    """The NumPy dtype of a variable in memory; texts are ``StringDType``."""
    return np.dtypes.StringDType() if declared.dtype == "str" else np.dtype(declared.dtype)


def _check_dtype(where: str, declared: Variable, dtype: np.dtype[Any]) -> None:
    if declared.dtype == "str":
        fits = dtype.kind in _TEXT_KINDS
    else:
        fits = dtype.kind in "biuf" and np.can_cast(dtype, np.dtype(declared.dtype), "same_kind")
        # Counts and indices come as int64 or uint8 as easily as in the declared width.
        fits = fits or (dtype.kind in "biu" and np.dtype(declared.dtype).kind in "iu")
    if not fits:
        raise InputError(f"{where} is {dtype}, but the schema says {declared.dtype}: convert it first")


def _check_complete(group: str, names: Iterable[str]) -> None:
    given = set(names)
    missing = [item.name for item in declaration(group).variables if not item.optional and item.name not in given]
    if missing:
        raise InputError(f"group {group!r} lacks {', '.join(missing)}: give NaN (or −1) where there is no value")


def check(dataset: xr.Dataset, group: str) -> None:
    """Compare a whole Dataset with the declaration of its group: names, dims, dtypes. Computes nothing.

    Raises
    ------
    InputError
        Names the group, the variable, what was found and what the schema says.
    """
    for name, data in dataset.data_vars.items():
        declared = variable(group, str(name))
        where = f"{group}/{name}"
        if data.dims != declared.dims:
            raise InputError(
                f"{where} has dims ({', '.join(map(str, data.dims))}), "
                f"but the schema says ({', '.join(declared.dims)}): transpose or rename it"
            )
        _check_dtype(where, declared, data.dtype)
    _check_complete(group, map(str, dataset.data_vars))
    append = declaration(group).append
    if append is not None and append in dataset.coords:
        positions = np.asarray(dataset[append].values)
        if positions.size > 1 and not (np.diff(positions) > 0).all():
            raise InputError(f"{group}/{append} does not strictly increase: sort the rows and drop repeated ones")


def check_row(group: str, row: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Compare the first row of a growing group with its declaration, and learn the shape of each variable.

    Later rows need only their names and shapes compared with the answer, which is what makes a row cheap.

    Parameters
    ----------
    group : path of a growing group.
    row : variable → array without the growing axis, or number.
    sizes : known lengths of the other axes; an axis that is not among them takes its length from the row.

    Returns
    -------
    dict
        Variable → shape of one row of it.

    Raises
    ------
    InputError
        The group does not grow, or a name, dtype, number of axes or length does not fit.
    """
    declared_group = declaration(group)
    if declared_group.append is None:
        raise InputError(f"group {group!r} does not grow by rows: write it whole, with put()")
    if declared_group.open_to is None:
        _check_complete(group, row)
    known = dict(sizes)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, value in row.items():
        declared = variable(group, name)
        array = np.asarray(value)
        where = f"{group}/{name}"
        _check_dtype(where, declared, array.dtype)
        dims = declared.dims[1:]
        if array.ndim != len(dims):
            raise InputError(
                f"{where}: a row has {len(dims)} axes ({', '.join(dims) or 'a number'}), got {array.ndim}"
            )
        for dim, size in zip(dims, array.shape, strict=True):
            if known.setdefault(dim, size) != size:
                raise InputError(f"{where}: {dim} has {known[dim]} entries in this group, the row has {size}")
        shapes[name] = array.shape
    return shapes


def _coordinate(dim: str, values: Any) -> dict[str, Any] | xr.Coordinates:
    if isinstance(values, pd.MultiIndex):
        return xr.Coordinates.from_pandas_multiindex(values, dim)
    if isinstance(values, xr.DataArray) and values.dims == (dim,):
        index = values.to_index()
        if isinstance(index, pd.MultiIndex):
            return xr.Coordinates.from_pandas_multiindex(index, dim)
    if isinstance(values, xr.DataArray | xr.Variable):
        return {dim: (values.dims, values.values)}
    if isinstance(values, tuple) and len(values) == 2 and isinstance(values[0], str | tuple):
        return {dim: values}
    return {dim: (dim, np.asarray(values))}


def build(
    group: str,
    arrays: Mapping[str, Any],
    coords: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Make the Dataset of a group: dims, dtypes, units and formulas come from the schema.

    Parameters
    ----------
    group : path of the group, as readers write it.
    arrays : variable → NumPy or Dask array (or DataArray) in the order of the declared dims. Cast lazily to the
        declared dtype.
    coords : dim → its values, a pandas MultiIndex, a DataArray, or ``(dims, values)``.
    attrs : further attributes of the Dataset.

    Returns
    -------
    xarray.Dataset
        Nothing is computed.

    Raises
    ------
    InputError
        Something does not fit the schema.
    """
    declared_group = declaration(group)
    data: dict[str, Any] = {}
    for name, value in arrays.items():
        declared = variable(group, name)
        array = value.data if isinstance(value, xr.DataArray | xr.Variable) else value
        if not hasattr(array, "dtype") or declared.dtype == "str":
            array = np.asarray(array, dtype=numpy_dtype(declared))
        where = f"{group}/{name}"
        _check_dtype(where, declared, array.dtype)
        if array.ndim != len(declared.dims):
            raise InputError(f"{where} has {array.ndim} axes, but the schema says ({', '.join(declared.dims)})")
        if declared.dtype != "str" and array.dtype != np.dtype(declared.dtype):
            array = array.astype(declared.dtype)
        data[name] = (declared.dims, array, {"units": declared.units, "formula": declared.formula})
    dataset = xr.Dataset(data, attrs={"description": declared_group.description, **(attrs or {})})
    used = set(dataset.dims)
    for dim, values in (coords or {}).items():
        part = _coordinate(str(dim), values)
        keep = used if isinstance(part, xr.Coordinates) else used | {str(dim)}
        if str(dim) in keep or isinstance(part, xr.Coordinates):
            dataset = dataset.assign_coords(part)
    check(dataset, group)
    return dataset


__all__ = ["answers", "build", "check", "check_row", "declaration", "numpy_dtype", "position", "variable"]
