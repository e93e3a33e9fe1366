"""Derived stages: each result in a folder of its own version, and a marker that names the current one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import numpy as np
import xarray as xr

from deeptracker import conform
from deeptracker.errors import DamagedRunError, InputError, LockedRunError
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.schema.derived import STAGES
from deeptracker.store import plausible
from deeptracker.store.analysing import alone, analysing
from deeptracker.store.commit import require_known
from deeptracker.store.continued import Continued
from deeptracker.store.faults import KEPT, told
from deeptracker.store.layout import (
    BIN_ROWS,
    LOG,
    PLAIN_CHUNK,
    SCRATCH,
    Grid,
    derived,
    growing_grid,
    shard_rows,
    stage_grid,
)
from deeptracker.store.layout import STAGES as MARKER
from deeptracker.store.place import Lock, Place, place_of
from deeptracker.store.regions import Region
from deeptracker.store.sealed import unseal
from deeptracker.store.tables import Chunker, Waiting, plain, write_group
from deeptracker.store.twice import write_twice
from deeptracker.store.zarrays import Filling, make_array, make_group

_TIME = ("iteration", "iteration_bin", "validation", "validation_bin")


def load_stages(folder: Place) -> dict[str, dict[str, Any]]:
    """Provenance, version and groups of every current stage; empty where nothing was analysed."""
    try:
        raw = (folder / MARKER).read_bytes()
        document = unseal(raw)
        require_known(folder, int(document["schema_version"]), raw)
        return plausible.stages(document, STAGES)
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedRunError(
            f"{folder / MARKER} cannot be understood: deeptracker verify {folder} --repair drops derived stages, "
            "deeptracker analyze makes them again"
        ) from None


def save_stages(folder: Path | Place, stages: Mapping[str, Mapping[str, Any]]) -> None:
    """Make these stages the current ones, atomically."""
    write_twice(place_of(folder), MARKER, {"schema_version": SCHEMA_VERSION, "stages": stages})


def package_version() -> str:
    """Version of the installed package."""
    try:
        return version("deeptracker")
    except PackageNotFoundError:
        return "unknown"


def _layout(dims: tuple[str, ...], shape: tuple[int, ...], item_bytes: int) -> Grid:
    return stage_grid(shape, item_bytes, bool(dims) and dims[0] in _TIME)


def _layout_of(rows: int) -> Chunker:
    """Arrays along time with so many rows to a file; a zoom reads few of them."""

    def layout(dims: tuple[str, ...], shape: tuple[int, ...], item_bytes: int) -> Grid:
        grows = len(shape) > 1 and dims[0] in _TIME
        return (
            derived(growing_grid(shape[1:], rows, inner_rows=BIN_ROWS))
            if grows
            else stage_grid(shape, item_bytes, False)
        )

    return layout


class StageWriter:
    """Writes one derived stage; see ``Run.write_stage``. Use as a context manager.

    Parameters
    ----------
    path : where the run lies.
    stage : name of the stage, first part of its groups' paths.
    provenance : how it is made.
    before : version of which rows can stay (``put_many(after=…)``); None where everything is written anew.

    Raises
    ------
    LockedRunError
        Another process analyses the run, or has replaced the version of which rows were to stay.
    """

    def __init__(self, path: Place, stage: str, provenance: Mapping[str, Any], before: int | None = None) -> None:
        if stage not in STAGES:
            raise InputError(f"there is no stage {stage!r}: stages are {', '.join(STAGES)}")
        self.path, self.stage, self._before = path, stage, before
        self._provenance = dict(provenance)
        self._groups: dict[str, int] = {}
        self._lock: Lock | None = None
        self._held = ExitStack()

    def __enter__(self) -> StageWriter:
        self._held.enter_context(told(self.path, KEPT))
        with self._held:  # let go of where the stage cannot be begun
            self._lock = self._held.enter_context(analysing(self.path))
            self._held.enter_context(alone(self.path))
            self._begin()
            self._held = self._held.pop_all()
        return self

    def _begin(self) -> None:
        self._started = time.perf_counter()
        base = self.path / LOG / self.stage
        stages = load_stages(self.path)
        current = stages.get(self.stage, {}).get("version", 0)
        if self._before not in (None, current):
            raise LockedRunError(f"{self.path}: another process analysed the run just now: analyze it again")
        left = [_unnamed(self.path, stage, stages) for stage in STAGES]
        taken = [int(folder.name) for folder in left[STAGES.index(self.stage)]]
        for folder in (folder for folders in left for folder in folders):
            folder.remove()
        self._version = max([current, *taken]) + 1
        self._folder = base / str(self._version)
        if not (base / "zarr.json").is_file():
            make_group(base, {})
        make_group(self._folder, {}, durable=False)

    def put(self, group: str, dataset: xr.Dataset) -> None:
        """Write one group; Dask arrays are computed here, by whatever scheduler is active."""
        self.put_many({group: dataset})

    def begin(self, group: str, dataset: xr.Dataset, *, rows: int | None = None, after: int = 0) -> dict[str, Region]:
        """Write one group but for its Dask arrays: these are made, and tasks are to fill them; name → array.

        Parameters
        ----------
        rows : how many go into a file of each of them; by default as many as make about 4 MiB.
        after : rows that stay as the current version has them; ``dataset`` holds those that follow.
        """
        filling = Filling()
        waiting = self._prepare(group, dataset, filling, after, rows)
        for _, array, start, kept in waiting:
            if len(kept):  # a whole file: the task that goes on in it writes it once more
                block = np.full((min(array.files[0], array.shape[0] - start), *kept.shape[1:]), 0, kept.dtype)
                block[: len(kept)] = kept
                filling.add(array, slice(start, start + len(block)), block)
        filling.finish()
        return {array.folder.name: Region(array, start + len(kept)) for _, array, start, kept in waiting}

    def scratch(self, name: str, shape: tuple[int, ...], dtype: str, rows: int) -> Region:
        """An array for what tasks hand on to others; ``rows`` to a file. It goes when the stage is finished."""
        grid = derived(Grid((rows, *shape[1:]), None))
        dims = tuple(f"dim_{axis}" for axis in range(len(shape)))
        fill = float("nan") if np.dtype(dtype).kind == "f" else -1
        return Region(make_array(self._folder / SCRATCH / name, shape, np.dtype(dtype), fill, grid, dims, {}))

    def put_many(self, datasets: Mapping[str, xr.Dataset], *, after: Mapping[str, int] | None = None) -> None:
        """Write several groups in one computation, so that what they share is computed once.

        Parameters
        ----------
        datasets : group → what to write.
        after : group → rows of it that stay as the current version has them; its dataset holds those that follow.

        Raises
        ------
        InputError
            A group is not of this stage, was written already, or does not fit the schema.
        """
        waiting: list[Waiting] = []
        filling = Filling()
        for group, dataset in datasets.items():
            waiting += self._prepare(group, dataset, filling, (after or {}).get(group, 0))
        filling.finish()
        if waiting:
            import dask.array as da

            sources = [_aligned(da.concatenate([kept, data]), array.files) for data, array, _, kept in waiting]
            regions = [(slice(start, array.shape[0]),) for _, array, start, _ in waiting]
            da.store(sources, [one.array for one in waiting], regions=regions, lock=False)

    def _prepare(
        self, group: str, dataset: xr.Dataset, filling: Filling, after: int = 0, rows: int | None = None
    ) -> list[Waiting]:
        """Check a group, make its arrays, and hand over the values that are there."""
        first, _, rest = group.partition("/")
        if first != self.stage or not rest:
            raise InputError(f"{group!r} is not a group of the stage {self.stage!r}")
        if group in self._groups:
            raise InputError(f"{group!r} was written already in this stage")
        conform.check(dataset, group)
        for parent in list(PurePosixPath(rest).parents)[:-1]:
            if not (self._folder / str(parent) / "zarr.json").is_file():
                make_group(self._folder / str(parent), {}, durable=False)
        before = self._continued(group, after, dataset)
        layout = _layout if rows is None else _layout_of(rows)
        waiting = write_group(self._folder / rest, group, dataset, filling, layout, before)
        self._groups[group] = rows or _rows(dataset)
        return waiting

    def _continued(self, group: str, rows: int, dataset: xr.Dataset) -> Continued | None:
        axis = next((name for name in _TIME if name in dataset.dims), None)
        if not rows or axis is None:
            return None
        return Continued(self.path / LOG / self.stage / str(self._before) / group.partition("/")[2], axis, rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            if error is not None:
                self._folder.remove()
                raise error
            (self._folder / SCRATCH).remove()
            self.path.sync([self._folder])
            assert self._lock is not None
            self._lock.check()
            stages = load_stages(self.path)
            old = stages.get(self.stage)
            stages[self.stage] = {
                **plain(self._provenance),
                "version": self._version,
                "package_version": package_version(),
                "schema_version": SCHEMA_VERSION,
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - self._started, 3),
                "groups": self._groups,
            }
            save_stages(self.path, stages)
            if old is not None:
                (self.path / LOG / self.stage / str(old["version"])).remove()


def _unnamed(path: Place, stage: str, stages: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Versions that the marker does not name: what an analysis left that was killed."""
    base, current = path / LOG / stage, stages.get(stage, {}).get("version", 0)
    there = base.iterdir() if base.is_dir() else ()
    return [child for child in there if child.name.isdigit() and int(child.name) != current]


def _rows(dataset: xr.Dataset) -> int:
    """Rows of a Dask chunk of the group: those of its largest variable's shard."""
    sizes = [
        data.dtype.itemsize * int(np.prod(data.shape[1:], dtype=np.int64))
        for data in dataset.data_vars.values()
        if data.ndim > 1 and data.dims[0] in _TIME
    ]
    return shard_rows(max(sizes)) if sizes else PLAIN_CHUNK


def _aligned(data: Any, files: tuple[int, ...]) -> Any:
    """Dask chunks that end where files end: two tasks writing one file would lose data without a word."""
    borders = all(
        all(edge % size == 0 for edge in np.cumsum(chunks)[:-1])
        for chunks, size in zip(data.chunks, files, strict=True)
    )
    return data if borders else data.rechunk(files)


__all__ = ["StageWriter", "load_stages", "package_version", "save_stages"]
