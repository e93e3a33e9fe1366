"""Groups of a run, opened once: their shapes and labels. Values stay on disk until they are taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.screen.kept import GROUP, LABELS, Kept, state_of

AXES = ("iteration", "validation")
"""Axes along which groups grow; bins of them are called ``iteration_bin`` and so on."""

_open: Kept[xr.Dataset] = Kept(LABELS)


def opened(run: Any, group: str) -> xr.Dataset:
    """A group, lazily indexed, as ``run.dataset`` gives it; the same object while the run is at the same state.

    Parameters
    ----------
    run : anything with ``has`` and ``dataset``. One that cannot tell its state is asked anew each time.

    Raises
    ------
    MissingGroupError
        The run lacks the group; the message names what makes it.
    """
    state = state_of(run)
    if state is None:
        return run.dataset(group)
    return _open.get((state, group), lambda: run.dataset(group), _weight)


def _weight(group: xr.Dataset) -> int:
    """Bytes that an opened group holds, about."""
    return GROUP + sum(int(labels.nbytes) for labels in group.coords.values())


def forget_groups() -> None:
    """Close all groups: the next read opens them anew."""
    _open.clear()


def axis_of(dataset: xr.Dataset) -> str | None:
    """The axis along which a group grows; None where it is a table."""
    return next((axis for axis in AXES if axis in dataset.dims), None)


def coordinate(run: Any, group: str, name: str) -> npt.NDArray[Any]:
    """Labels along an axis of a group: iterations, ids of images, names of classes."""
    return np.asarray(opened(run, group)[name].values)


def extent(run: Any, group: str) -> tuple[int, int] | None:
    """First and last iteration of a group that grows; None while it is empty."""
    dataset = opened(run, group)
    axis = axis_of(dataset)
    if axis is None or not dataset.sizes[axis]:
        return None
    at = dataset[axis].values
    return int(at[0]), int(at[-1])


def sizes(run: Any, group: str) -> dict[str, int]:
    """Length of each axis of a group; empty where the run lacks it."""
    return {str(dim): size for dim, size in opened(run, group).sizes.items()} if run.has(group) else {}


def variables(run: Any, group: str) -> dict[str, tuple[str, ...]]:
    """Names of a group's variables and their axes, in the order of the store; empty where the run lacks it."""
    if not run.has(group):
        return {}
    return {str(name): tuple(map(str, data.dims)) for name, data in opened(run, group).data_vars.items()}


def units(run: Any, group: str, name: str) -> str:
    """Unit of a variable, ``1`` where none is declared."""
    return str(opened(run, group)[name].attrs.get("units", "1"))


__all__ = ["AXES", "axis_of", "coordinate", "extent", "forget_groups", "opened", "sizes", "units", "variables"]
