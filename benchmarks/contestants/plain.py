"""xarray's ``open_zarr`` on our raw log, as on any Zarr hierarchy: our files without our code."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from contestants.data import ASKED, Array, Contestant
from contestants.ours import VIEW, Ours

if TYPE_CHECKING:
    import xarray as xr

CHUNKS: dict[str, Any] = {
    "chunks as found": {},
    "chunks of shards": {"iteration": 32, "validation": 32, "filter": -1, "image": -1},
    "without Dask": None,
}
"""What ``open_zarr`` does by itself; what a user of Dask gives who knows how the shards lie; none, as suits data
that fits in memory: only what is indexed is read."""


class Plain(Contestant):
    """``chunks`` is a key of ``CHUNKS``."""

    note = "reads our log"

    def __init__(self, ours: Ours, chunks: str) -> None:
        super().__init__(ours.data)
        self.name, self.log, self.chunks = f"xarray, {chunks}", ours.path / "log.zarr", CHUNKS[chunks]

    def _opened(self, group: str) -> xr.Dataset:
        import xarray as xr

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return xr.open_zarr(self.log, group=group, consolidated=False, chunks=self.chunks)

    def _filters(self) -> xr.DataArray:
        return self._opened("filters/dense")[ASKED]

    def _correct(self) -> xr.DataArray:
        return self._opened(f"validation/{VIEW}")["correct"]

    def one_layer(self) -> Array:
        return self._filters()[:, self.data.part(self.data.layer)].values

    def one_iteration(self) -> Array:
        return self._filters().sel(iteration=self.data.iteration).values

    def layer_means(self) -> Array:
        import xarray as xr

        data = self.data
        layer = xr.DataArray(np.repeat(np.arange(len(data.layers)), data.count), dims="filter", name="layer")
        return self._filters().groupby(layer).mean().transpose("iteration", "layer").values

    def classes(self) -> Array:
        import xarray as xr

        label = xr.DataArray(self.data.target, dims="image", name="class")
        right = self._correct().astype(np.float32)
        return right.groupby(label).mean().transpose("validation", "class").values

    def images(self) -> Array:
        return self._correct()[:, self.data.target == self.data.label].values


__all__ = ["CHUNKS", "Plain"]
