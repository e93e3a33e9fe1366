"""Labels of the axes: (layer, channel) of every filter, names of layers, ids of images. And Dask chunks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr


def filter_labels(architecture: xr.Dataset) -> xr.Coordinates:
    """MultiIndex (layer, channel) of the flat filter axis, with each filter's ``block`` and ``stage``.

    Parameters
    ----------
    architecture : the run's architecture; reads ``filter_layer``, ``filter_channel``, ``block``, ``stage``.
    """
    layer = np.asarray(architecture["filter_layer"].values, np.int64)
    channel = np.asarray(architecture["filter_channel"].values, np.int64)
    names: Any = pd.Index(np.asarray(architecture["layer"].values, object))
    channels: Any = np.arange(channel.max(initial=-1) + 1)
    # By codes: forty times faster than from 27,560 pairs.
    codes: Any = [layer, channel]
    index = pd.MultiIndex([names, channels], codes, names=("layer", "channel"), verify_integrity=False)
    labels = xr.Coordinates.from_pandas_multiindex(index, "filter")
    for name in ("block", "stage"):
        if name in architecture:
            values = np.asarray(architecture[name].values, object)[layer]
            labels = labels.assign({name: ("filter", values)})
    return labels


@lru_cache(maxsize=8)
def _cached(key: object, holder: _Holder) -> xr.Coordinates:
    return filter_labels(holder.architecture)


class _Holder:
    """Keeps a Dataset out of a cache's key."""

    def __init__(self, architecture: xr.Dataset) -> None:
        self.architecture = architecture

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Holder)


def labelled(
    dataset: xr.Dataset, architecture: xr.Dataset | None, images: xr.Dataset | None, key: object
) -> xr.Dataset:
    """A Dataset with the labels of its axes put on, where they are known and not there yet.

    Parameters
    ----------
    dataset : any group of a run.
    architecture, images : the groups that know the labels, or None.
    key : says which architecture it is; labels of one are built once a process.
    """
    if architecture is not None:
        fits = "filter" in dataset.dims and dataset.sizes["filter"] == architecture.sizes.get("filter")
        if fits and "layer" not in dataset.dims:
            dataset = dataset.drop_vars("filter") if "filter" in dataset.variables else dataset
            dataset = dataset.assign_coords(_cached(key, _Holder(architecture)))
        if "layer" in dataset.dims and "layer" not in dataset.coords:
            dataset = dataset.assign_coords(layer=architecture["layer"].values)
    if images is not None:
        for dim in ("image", "class"):
            known = dim in images.coords and images.sizes[dim] == dataset.sizes.get(dim)
            if known and dim not in dataset.coords:
                dataset = dataset.assign_coords({dim: images[dim].values})
    return dataset


def chunked(dataset: xr.Dataset, rows: int) -> xr.Dataset:
    """Dask chunks: ``rows`` along the first axis of every variable, all of the other axes."""
    variables = {}
    for name, variable in dataset.variables.items():
        if name in dataset.coords or not variable.ndim or variable.dtype.kind == "O":
            continue
        chunks = dict.fromkeys(variable.dims[1:], -1) | {variable.dims[0]: rows if variable.shape[0] else -1}
        variables[name] = variable.chunk(chunks)
    return dataset.assign(variables)


__all__ = ["chunked", "filter_labels", "labelled"]
