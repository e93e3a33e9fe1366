"""The same data, the same questions: ours, and what people would otherwise do. Seconds to write, bytes, seconds each.

The data: three statistics of every filter of ResNet-50 at every record, and the answers to every validation image at
every pass. The questions:

1. one layer's filters over all time (the last convolution, 2,048 filters);
2. all filters at one iteration;
3. the mean over the filters of each layer, at every iteration;
4. the accuracy of each class at every pass;
5. the answers to the images of one class.

Who answers: our run, read as the views read it; pandas on Parquet, a row for each (iteration, filter) and for each
(pass, image); xarray's ``open_zarr`` on our raw log, as a user would and with chunks as long as our shards;
TensorBoard's ``EventAccumulator`` on a histogram of each layer's filters and a scalar for each class, which cannot
tell single filters or images; SQLite with a JSON document for each (iteration, layer) and each (pass, class), as the
original did it with a document store.

Each question is asked of what was just opened, nothing is kept from the one before (of our run also once opened, as
a page holds it); the file system's cache is warm.
Our log also holds the columns that are left out here, as NaN: their seconds and bytes are counted against us.
TensorBoard writes one statistic of three; its bytes and seconds are not scaled.

    python benchmarks/peers.py --small
    python benchmarks/peers.py
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pairs
from disk import size_of

from deeptracker import __version__, screen
from deeptracker.aggregate import build_index
from deeptracker.screen import answers
from deeptracker.store import LogWriter, Run, open_run
from deeptracker.store.arrays import row_files
from deeptracker.testing import simulate

KEPT = ("w_rms", "g_rms", "update_angle")
ASKED = KEPT[0]
QUESTIONS = ("one layer", "one iteration", "layer means", "classes", "images")
VIEW = "validation/raw"
SHARDS = {"iteration": 32, "validation": 32, "filter": -1, "image": -1}
EVERY: Any = {"pixels": 1 << 40, "cells": 1 << 40}
Array = np.ndarray[Any, Any]


class Taken:
    """A sink that keeps what a simulation gives: of the filters only ``KEPT``."""

    background_seconds = 0.0

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.tables: dict[str, Any] = {}
        self.axes: dict[str, Any] = {}
        self.rows: list[tuple[str, int, dict[str, Any]]] = []

    def describe(self, attributes: Any) -> None:
        self.attributes |= attributes

    def put(self, group: str, table: Any) -> None:
        self.tables[group] = table

    def coordinates(self, group: str, coordinates: Any) -> None:
        self.axes[group] = coordinates

    def append(self, group: str, position: int, row: Any) -> None:
        if group.endswith(("/full", "/probe")):
            return
        row = {name: np.array(value) for name, value in row.items()}
        if group == "filters/dense":
            nothing = np.full(len(row[ASKED]), np.nan, np.float32)
            row = {name: nothing if v.dtype == np.float32 and name not in KEPT else v for name, v in row.items()}
        self.rows.append((group, position, row))

    def close(self) -> None: ...


@dataclass
class Data:
    """What everybody writes: statistics (iterations, filters), ``predicted`` and ``correct`` (passes, images)."""

    taken: Taken
    iterations: Array = field(init=False)
    passes: Array = field(init=False)
    statistics: dict[str, Array] = field(init=False)
    predicted: Array = field(init=False)
    correct: Array = field(init=False)

    def __post_init__(self) -> None:
        filters = [(at, row) for group, at, row in self.taken.rows if group == "filters/dense"]
        seen = [(at, row) for group, at, row in self.taken.rows if group.startswith("validation/")]
        self.iterations, self.passes = (np.array([at for at, _ in rows]) for rows in (filters, seen))
        self.statistics = {name: np.stack([row[name] for _, row in filters]) for name in KEPT}
        self.predicted, self.correct = (np.stack([row[name] for _, row in seen]) for name in ("predicted", "correct"))
        net = self.taken.tables["architecture"]
        self.layers = [str(name) for name in net["layer"].values]
        self.first, self.count = net["first_filter"].values.astype(int), net["filters"].values.astype(int)
        self.target = self.taken.tables["images/validation"]["target"].values.astype(int)
        self.classes = int(self.target.max()) + 1
        # What is asked: the largest layer, the iteration in the middle, the class in the middle.
        self.layer = int(len(self.count) - 1 - np.argmax(self.count[-2::-1]) - 1)
        self.iteration, self.label = int(self.iterations[len(self.iterations) // 2]), self.classes // 2

    def part(self, layer: int) -> slice:
        """Filters of a layer."""
        return slice(self.first[layer], self.first[layer] + self.count[layer])

    def means(self, values: Array) -> Array:
        """(iterations, filters) → mean over the filters of each layer."""
        return np.add.reduceat(values.astype(np.float64), self.first, axis=1) / self.count

    def right(self) -> dict[str, Array]:
        """The answers."""
        of_class = self.target == self.label
        asked = self.statistics[ASKED]
        accuracy = np.stack([self.correct[:, self.target == c].mean(axis=1) for c in range(self.classes)], axis=1)
        return {
            "one layer": asked[:, self.part(self.layer)],
            "one iteration": asked[self.iterations == self.iteration][0],
            "layer means": self.means(asked),
            "classes": accuracy,
            "images": self.correct[:, of_class],
        }


class Ours:
    """A run with its index, read as the views read it."""

    name = "DeepTracker"

    def __init__(self, folder: Path, data: Data) -> None:
        self.path, self.data, self.size_in = folder / "run", data, folder / "run"

    def write(self) -> None:
        taken = self.data.taken
        with LogWriter(self.path) as writer:
            writer.describe(taken.attributes)
            for group, table in taken.tables.items():
                writer.put(group, table)
            for group, axes in taken.axes.items():
                writer.coordinates(group, axes)
            for group, position, row in taken.rows:
                writer.append(group, position, row)
        began = time.perf_counter()
        build_index(open_run(self.path))
        self.note = f"of it {time.perf_counter() - began:.1f} s for the index"

    def ask(self, question: str) -> Array:
        screen.forget()
        row_files.cache_clear()
        return self.answer(question, open_run(self.path))

    def answer(self, question: str, run: Run) -> Array:
        """Asked of an opened run."""
        data = self.data
        part = data.part(data.layer)
        if question == "one layer":
            return screen.read(run, "filters/dense", [ASKED], select={"filter": part}, **EVERY)[ASKED].values[0]
        if question == "one iteration":
            at = data.iteration
            return screen.read(run, "filters/dense", [ASKED], at, at, **EVERY)[ASKED].values[0, 0]
        if question == "layer means":
            return data.means(screen.read(run, "filters/dense", [ASKED], **EVERY)[ASKED].values[0])
        if question == "classes":
            return screen.read(run, f"index/validation/{VIEW}/classes", ["accuracy"], **EVERY)["accuracy"].values[0]
        classes = answers.classes_of(run, VIEW)
        rows = np.sort(classes.members(data.label))
        return answers.images_of(run, VIEW, rows)["correct"].values


class Opened(Ours):
    """The same run, opened once, as a page or a notebook holds it; no values are kept."""

    name, note = "DeepTracker, run open", ""

    def write(self) -> None:
        self.run = open_run(self.path)

    def ask(self, question: str) -> Array:
        screen.forget_values()
        return self.answer(question, self.run)


class Parquet:
    """pandas: a table of filters and one of images, a row group for every few iterations."""

    name = "pandas on Parquet"
    note = ""

    def __init__(self, folder: Path, data: Data) -> None:
        self.folder, self.data = folder / "parquet", data
        self.size_in = self.folder

    def write(self) -> None:
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.folder.mkdir()
        data = self.data
        layer = pd.Categorical.from_codes(np.repeat(np.arange(len(data.layers)), data.count), data.layers)
        channel = np.concatenate([np.arange(n) for n in data.count])

        def filters(number: int) -> Any:
            values = {name: rows[number] for name, rows in data.statistics.items()}
            return pd.DataFrame({"iteration": data.iterations[number], "layer": layer, "channel": channel, **values})

        def images(number: int) -> Any:
            said = {"predicted": data.predicted[number], "correct": data.correct[number]}
            which = {"pass": data.passes[number], "image": np.arange(len(data.target)), "class": data.target}
            return pd.DataFrame({**which, **said})

        for name, make, rows in (("filters", filters, len(data.iterations)), ("images", images, len(data.passes))):
            writer = None
            for start in range(0, rows, 32):
                frame = pd.concat([make(number) for number in range(start, min(start + 32, rows))])
                table = pa.Table.from_pandas(frame, preserve_index=False)
                writer = writer or pq.ParquetWriter(self.folder / f"{name}.parquet", table.schema, compression="zstd")
                writer.write_table(table)
            assert writer is not None
            writer.close()

    def ask(self, question: str) -> Array:
        import pandas as pd

        data = self.data

        def read(name: str, columns: list[str], filters: Any = None) -> Any:
            return pd.read_parquet(self.folder / f"{name}.parquet", columns=columns, filters=filters)

        if question == "one layer":
            frame = read("filters", ["iteration", "channel", ASKED], [("layer", "==", data.layers[data.layer])])
            return frame.pivot(index="iteration", columns="channel", values=ASKED).to_numpy()
        if question == "one iteration":
            return read("filters", [ASKED], [("iteration", "==", data.iteration)])[ASKED].to_numpy()
        if question == "layer means":
            frame = read("filters", ["iteration", "layer", ASKED])
            means = frame.groupby(["iteration", "layer"], observed=True, sort=False)[ASKED].mean().unstack()
            return means[data.layers].to_numpy()
        if question == "classes":
            frame = read("images", ["pass", "class", "correct"])
            return frame.groupby(["pass", "class"])["correct"].mean().unstack().to_numpy()
        frame = read("images", ["pass", "image", "correct"], [("class", "==", data.label)])
        return frame.pivot(index="pass", columns="image", values="correct").to_numpy()


class Plain:
    """xarray on the raw log of ours, opened as any Zarr hierarchy."""

    def __init__(self, ours: Ours, data: Data, chunks: Any, name: str) -> None:
        self.ours, self.data, self.chunks, self.name, self.note = (
            ours,
            data,
            chunks,
            name,
            "reads our log",
        )
        self.size_in = ours.path / "log.zarr"

    def write(self) -> None: ...

    def ask(self, question: str) -> Array:
        import xarray as xr

        data = self.data

        def opened(group: str) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return xr.open_zarr(self.size_in, group=group, consolidated=False, chunks=self.chunks)

        if question in ("classes", "images"):
            correct = opened("validation/validation/raw")["correct"]
            if question == "images":
                return correct[:, data.target == data.label].values
            label = xr.DataArray(data.target, dims="image", name="class")
            return correct.astype(np.float32).groupby(label).mean().transpose("validation", "class").values
        values = opened("filters/dense")[ASKED]
        if question == "one layer":
            return values[:, data.part(data.layer)].values
        if question == "one iteration":
            return values.sel(iteration=data.iteration).values
        layer = xr.DataArray(np.repeat(np.arange(len(data.layers)), data.count), dims="filter", name="layer")
        return values.groupby(layer).mean().transpose("iteration", "layer").values


class Board:
    """TensorBoard: a histogram of each layer's filters, a scalar for each class."""

    name = "TensorBoard"
    note = "no filters, no images; a third of the statistics"

    def __init__(self, folder: Path, data: Data) -> None:
        self.folder, self.data = folder / "board", data
        self.size_in = self.folder

    def write(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        data, right = self.data, self.data.right()
        writer = SummaryWriter(str(self.folder), max_queue=10_000)
        for number, at in enumerate(data.iterations):
            for layer, name in enumerate(data.layers):
                writer.add_histogram(f"{ASKED}/{name}", data.statistics[ASKED][number, data.part(layer)], int(at))
        for number, at in enumerate(data.passes):
            for label in range(data.classes):
                writer.add_scalar(f"accuracy/{label}", right["classes"][number, label], int(at))
        writer.close()

    def ask(self, question: str) -> Array | None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        if question in ("one iteration", "images", "one layer"):
            return None
        data = self.data
        events = EventAccumulator(str(self.folder), size_guidance={"histograms": 0, "scalars": 0, "tensors": 0})
        events.Reload()
        if question == "classes":
            return np.array([[e.value for e in events.Scalars(f"accuracy/{c}")] for c in range(data.classes)]).T
        found = [events.Histograms(f"{ASKED}/{name}") for name in data.layers]
        return np.array([[e.histogram_value.sum / e.histogram_value.num for e in layer] for layer in found]).T


class Documents:
    """SQLite: a JSON document for each (iteration, layer) and each (pass, class), with an index on both."""

    name = "JSON documents in SQLite"
    note = ""

    def __init__(self, folder: Path, data: Data) -> None:
        self.file, self.data, self.size_in = folder / "documents" / "store.db", data, folder / "documents"

    def write(self) -> None:
        self.file.parent.mkdir()
        data, store = self.data, sqlite3.connect(self.file)
        members = [np.flatnonzero(data.target == label) for label in range(data.classes)]
        for table, first, second in (("filters", "iteration", "layer"), ("images", "pass", "class")):
            store.execute(f'create table {table} ("{first}" integer, "{second}" text, document text)')
            store.execute(f'create index {table}_first on {table} ("{first}")')
            store.execute(f'create index {table}_second on {table} ("{second}")')
        for number, at in enumerate(data.iterations.tolist()):
            for layer, name in enumerate(data.layers):
                row = {key: values[number, data.part(layer)].tolist() for key, values in data.statistics.items()}
                store.execute("insert into filters values (?, ?, ?)", (at, name, json.dumps(row)))
            store.commit()
        for number, at in enumerate(data.passes.tolist()):
            for label, images in enumerate(members):
                row = {
                    "predicted": data.predicted[number, images].tolist(),
                    "correct": data.correct[number, images].tolist(),
                }
                store.execute("insert into images values (?, ?, ?)", (at, str(label), json.dumps(row)))
            store.commit()
        store.close()

    def ask(self, question: str) -> Array:
        data, store = self.data, sqlite3.connect(self.file)

        def found(key: str, text: str, *values: Any) -> list[Any]:
            return [json.loads(document)[key] for (document,) in store.execute(text, values)]

        try:
            if question == "one layer":
                text = "select document from filters where layer = ? order by iteration"
                return np.array(found(ASKED, text, data.layers[data.layer]), np.float32)
            if question == "one iteration":
                text = "select document from filters where iteration = ? order by rowid"
                return np.concatenate([np.array(one, np.float32) for one in found(ASKED, text, data.iteration)])
            if question == "layer means":
                means = [np.mean(one) for one in found(ASKED, "select document from filters order by rowid")]
                return np.array(means).reshape(-1, len(data.layers))
            if question == "classes":
                means = [np.mean(one) for one in found("correct", "select document from images order by rowid")]
                return np.array(means).reshape(-1, data.classes)
            text = "select document from images where class = ? order by pass"
            return np.array(found("correct", text, str(data.label)))
        finally:
            store.close()


def agrees(got: Array, want: Array, approximate: bool) -> bool:
    """Whether an answer is right; rows that are still in our log's tail are missing for who reads the raw shards."""
    want = want[: len(got)] if got.ndim == want.ndim and got.ndim > 1 else want
    tolerance = 1e-3 if approximate else 1e-4
    return got.shape == want.shape and np.allclose(got, want, rtol=tolerance, atol=1e-4, equal_nan=True)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, result)."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="ResNet-20, 2,000 images, seconds")
    parser.add_argument("--iterations", type=int, help="records (default 192; small: 64)")
    parser.add_argument("--passes", type=int, help="validation passes (default 96; small: 32)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each question is asked (default 3)")
    parser.add_argument("--without", nargs="*", default=[], choices=["board", "documents", "plain", "parquet"])
    asked = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    iterations, passes = asked.iterations or (64 if asked.small else 192), asked.passes or (32 if asked.small else 96)
    sizes: dict[str, Any] = {"iterations": iterations, "passes": passes, "seed": 1}
    sizes |= {"images": 2000, "classes": 20} if asked.small else {"images": 50_000, "classes": 1000}
    taken: Any = Taken()
    simulate(taken, model="resnet20" if asked.small else "resnet50", **sizes)
    data = Data(taken)
    right = data.right()
    print(
        f"deeptracker {__version__}, Python {platform.python_version()}; {pairs.processor()}; {pairs.load()}\n"
        f"{data.statistics[ASKED].shape[1]:,} filters, {iterations:,} records, {len(KEPT)} statistics; "
        f"{len(data.target):,} images, {len(data.passes):,} passes, {data.classes:,} classes\n\n"
        f"{'':26}{'write s':>9}{'MB':>8}" + "".join(f"{question:>22}" for question in QUESTIONS)
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours = Ours(folder, data)
        contestants: list[Any] = [ours, Opened(folder, data)]
        if "parquet" not in asked.without:
            contestants.append(Parquet(folder, data))
        if "plain" not in asked.without:
            contestants.append(Plain(ours, data, {}, "xarray, chunks as found"))
            contestants.append(
                Plain(
                    ours,
                    data,
                    {"iteration": 32, "validation": 32, "filter": -1, "image": -1},
                    "xarray, chunks of shards",
                )
            )
        if "board" not in asked.without:
            contestants.append(Board(folder, data))
        if "documents" not in asked.without:
            contestants.append(Documents(folder, data))
        best: dict[str, float] = {}
        for one in contestants:
            written, _ = seconds(one.write)
            plain = isinstance(one, Plain | Opened)
            size = f"{size_of(one.size_in) / 1e6:.0f}"
            line = f"{one.name:26}" + (" " * 17 if plain else f"{written:9.1f}{size:>8}")
            for question in QUESTIONS:
                taken_times, got = [], None
                for _ in range(asked.rounds):
                    spent, got = seconds(lambda one=one, question=question: one.ask(question))
                    taken_times.append(spent)
                    if spent > 10:
                        break
                if got is None:
                    line += f"{'cannot':>22}"
                    continue
                assert agrees(got, right[question], isinstance(one, Board)), f"{one.name} is wrong about {question}"
                median = float(np.median(taken_times))
                best.setdefault(question, median)
                line += f"{f'{1000 * median:,.0f} ms':>12}{f'× {median / best[question]:,.1f}':>10}"
            print(f"{line}   {one.note}", flush=True)
    print(f"\nSeconds: median of {asked.rounds}; ×: of ours. At the end: {pairs.load()}.")


if __name__ == "__main__":
    main()
