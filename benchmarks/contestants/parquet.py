"""pandas on Parquet: a table with a row for each (iteration, filter) and one for each (pass, image).

As its users advise: narrow types, rows sorted by what is asked for, so that the statistics of a row group (about
131,072 rows) tell whether it holds any of it; the columns that are wanted, and predicates that are pushed down.
Stretches of 96 iterations lie together, since a table that grows is written in stretches.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contestants.data import ASKED, Array, Contestant, Data

if TYPE_CHECKING:
    import pandas as pd

STRETCH = 96
GROUP_ROWS = 1 << 17


class Parquet(Contestant):
    """Two files."""

    name = "pandas on Parquet"

    def __init__(self, folder: Path, data: Data) -> None:
        super().__init__(data)
        self.folder = self.size_in = folder / "parquet"

    def write(self) -> None:
        self.folder.mkdir()
        data = self.data
        self._write("filters", data.iterations, self._filters)
        self._write("images", data.passes, self._images)

    def _write(self, name: str, positions: Array, table: Any) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path, writer = self.folder / f"{name}.parquet", None
        for start in range(0, len(positions), STRETCH):
            rows = pa.table(table(slice(start, start + STRETCH)))
            if writer is None:
                keys = [column for column in rows.column_names if pa.types.is_integer(rows.schema.field(column).type)]
                writer = pq.ParquetWriter(path, rows.schema, compression="zstd", use_dictionary=keys)
            writer.write_table(rows, row_group_size=GROUP_ROWS)
        assert writer is not None
        writer.close()

    def _filters(self, stretch: slice) -> dict[str, Array]:
        """Sorted by layer, iteration, channel; a layer is its number."""
        data = self.data
        at = data.iterations[stretch].astype(np.int32)
        parts = [(layer, data.part(layer), int(count)) for layer, count in enumerate(data.count)]
        keys = {
            "layer": [np.full(len(at) * count, layer, np.int16) for layer, _, count in parts],
            "iteration": [np.repeat(at, count) for _, _, count in parts],
            "channel": [np.tile(np.arange(count, dtype=np.int16), len(at)) for _, _, count in parts],
        }
        values = {
            name: [rows[stretch, part].ravel() for _, part, _ in parts] for name, rows in data.statistics.items()
        }
        return {name: np.concatenate(pieces) for name, pieces in (keys | values).items()}

    def _images(self, stretch: slice) -> dict[str, Array]:
        """Sorted by class, pass, image."""
        data = self.data
        at = data.passes[stretch].astype(np.int32)
        members = [np.flatnonzero(data.target == label) for label in range(data.classes)]
        columns = {
            "class": [np.full(len(at) * len(images), label, np.int16) for label, images in enumerate(members)],
            "pass": [np.repeat(at, len(images)) for images in members],
            "image": [np.tile(images.astype(np.int32), len(at)) for images in members],
            "predicted": [data.predicted[stretch][:, images].ravel() for images in members],
            "correct": [data.correct[stretch][:, images].ravel() for images in members],
        }
        return {name: np.concatenate(pieces) for name, pieces in columns.items()}

    def _read(self, name: str, columns: list[str], filters: Any = None) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self.folder / f"{name}.parquet", columns=columns, filters=filters)

    def one_layer(self) -> Array:
        frame = self._read("filters", ["iteration", "channel", ASKED], [("layer", "==", self.data.layer)])
        return frame.pivot(index="iteration", columns="channel", values=ASKED).to_numpy()

    def one_iteration(self) -> Array:
        frame = self._read("filters", [ASKED], [("iteration", "==", self.data.iteration)])
        return frame[ASKED].to_numpy()

    def layer_means(self) -> Array:
        frame = self._read("filters", ["iteration", "layer", ASKED])
        return frame.groupby(["iteration", "layer"])[ASKED].mean().unstack().to_numpy()

    def classes(self) -> Array:
        frame = self._read("images", ["pass", "class", "correct"])
        return frame.groupby(["pass", "class"])["correct"].mean().unstack().to_numpy()

    def images(self) -> Array:
        frame = self._read("images", ["pass", "image", "correct"], [("class", "==", self.data.label)])
        return frame.pivot(index="pass", columns="image", values="correct").to_numpy()


__all__ = ["Parquet"]
