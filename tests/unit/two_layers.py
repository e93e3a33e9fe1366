"""A recorded run of a net with two layers, small enough for every test to have its own."""

import numpy as np
import xarray as xr

from deeptracker import conform
from deeptracker.schema import group_of
from deeptracker.store import LogWriter

NAMES = ("conv", "fc")
CHANNELS = (5, 3)


def architecture() -> xr.Dataset:
    texts = {name: ["x", "y"] for name in ("type", "kernel", "stride", "normalisation", "activation")}
    numbers = dict.fromkeys(("parameters", "first_filter", "filters", "lr_group"), np.zeros(2, int))
    arrays = {
        **texts,
        **numbers,
        "block": ["b0", "b1"],
        "stage": ["s", "s"],
        "init_norm2": np.ones(2),
        "filter_layer": np.repeat([0, 1], CHANNELS),
        "filter_channel": np.concatenate([np.arange(n) for n in CHANNELS]),
        "edges": np.array([[0, 1]]),
    }
    return conform.build("architecture", arrays, {"layer": list(NAMES)})


def filters(iteration: int) -> dict[str, np.ndarray]:
    declared = group_of("filters/dense").variables
    values = np.arange(8) + 10 * iteration
    return {v.name: np.asarray(values if len(v.dims) > 1 else 1, v.dtype) for v in declared}


def record(path, rows=300, close=True):
    writer = LogWriter(path, background=False)
    writer.put("architecture", architecture())
    writer.describe({"model": "TwoLayers"})
    writer.coordinates("scalars", {"param_group": np.arange(2)})
    for i in range(rows):
        writer.append("filters/dense", i, filters(i))
        writer.append("scalars", i, {"loss": float(i), "learning_rate": np.array([0.1, i])})
    writer.flush()
    if close:
        writer.close()
    return writer
