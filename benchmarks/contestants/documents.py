"""SQLite with JSON documents: one for each (iteration, layer) and each (pass, class), with an index on both.

The original kept its logs so, in a document store. Of a document only the field that is asked for is taken out, by
the database, before Python reads its numbers.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from contestants.data import ASKED, Array, Contestant, Data


class Documents(Contestant):
    """One file."""

    name = "JSON documents in SQLite"

    def __init__(self, folder: Path, data: Data) -> None:
        super().__init__(data)
        self.size_in = folder / "documents"
        self.file = self.size_in / "store.db"

    def write(self) -> None:
        self.file.parent.mkdir()
        with closing(sqlite3.connect(self.file)) as store:
            for table, first, second in (("filters", "iteration", "layer"), ("images", "pass", "class")):
                store.execute(f'create table {table} ("{first}" integer, "{second}" text, document text)')
                store.execute(f'create index {table}_first on {table} ("{first}")')
                store.execute(f'create index {table}_second on {table} ("{second}")')
            for table, rows in (("filters", self._filters()), ("images", self._images())):
                store.executemany(f"insert into {table} values (?, ?, ?)", rows)
                store.commit()

    def _filters(self) -> Iterator[tuple[int, str, str]]:
        data = self.data
        for number, at in enumerate(data.iterations.tolist()):
            for layer, name in enumerate(data.layers):
                part = data.part(layer)
                row = {key: _numbers(values[number, part]) for key, values in data.statistics.items()}
                yield at, name, json.dumps(row)

    def _images(self) -> Iterator[tuple[int, str, str]]:
        data = self.data
        members = [np.flatnonzero(data.target == label) for label in range(data.classes)]
        for number, at in enumerate(data.passes.tolist()):
            for label, images in enumerate(members):
                said = {"predicted": data.predicted, "correct": data.correct}
                yield at, str(label), json.dumps({key: rows[number, images].tolist() for key, rows in said.items()})

    def _found(self, table: str, key: str, where: str, *values: Any) -> list[list[float]]:
        text = f"select json_extract(document, '$.{key}') from {table} {where}"
        with closing(sqlite3.connect(self.file)) as store:
            return [json.loads(field) for (field,) in store.execute(text, values)]

    def one_layer(self) -> Array:
        name = self.data.layers[self.data.layer]
        return np.array(self._found("filters", ASKED, "where layer = ? order by iteration", name), np.float32)

    def one_iteration(self) -> Array:
        found = self._found("filters", ASKED, "where iteration = ? order by rowid", self.data.iteration)
        return np.concatenate([np.array(one, np.float32) for one in found])

    def layer_means(self) -> Array:
        means = [np.mean(one) for one in self._found("filters", ASKED, "order by rowid")]
        return np.array(means).reshape(-1, len(self.data.layers))

    def classes(self) -> Array:
        means = [np.mean(one) for one in self._found("images", "correct", "order by rowid")]
        return np.array(means).reshape(-1, self.data.classes)

    def images(self) -> Array:
        return np.array(self._found("images", "correct", "where class = ? order by pass", str(self.data.label)))


def _numbers(values: Array) -> list[float | None]:
    """As JSON has them: it knows no NaN."""
    return values.tolist() if np.isfinite(values).all() else np.where(np.isnan(values), None, values).tolist()


__all__ = ["Documents"]
