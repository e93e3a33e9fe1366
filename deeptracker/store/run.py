"""A run as readers see it: labelled data, frozen at one commit, read when values are taken."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.core import indexing

from deeptracker.errors import DamagedRunError, MissingGroupError
from deeptracker.schema import group_of
from deeptracker.schema.derived import STAGES
from deeptracker.store.commit import Commit, load_commit
from deeptracker.store.disk import read_table
from deeptracker.store.edition import Edition
from deeptracker.store.joined import JoinedArray
from deeptracker.store.labels import chunked, labelled
from deeptracker.store.layout import LOG, PLAIN_CHUNK, is_plain
from deeptracker.store.missing import why_missing
from deeptracker.store.place import Place, run_place
from deeptracker.store.remarks import Remark, keep_remark, ranked_events
from deeptracker.store.space import bytes_by_group, lost_table, thinned_table
from deeptracker.store.stage import StageWriter, load_stages
from deeptracker.store.tables import read_group, variable_attributes


def open_run(path: str | Path | Place) -> Run:
    """Open a run: metadata only, whatever its size.

    Parameters
    ----------
    path : ``RUN`` or ``RUN/log.zarr``; a folder, or ``s3://BUCKET/PREFIX`` (docs/buckets.md).

    Raises
    ------
    NotARunError
        The path leads to nothing or to something that is not a run.
    NewerRunError
        The run was written by a newer DeepTracker.
    DamagedRunError
        Its marker cannot be understood.
    """
    place = run_place(path)
    return Run(place, *place.at_once(lambda load: load(place), (load_commit, load_stages)))


@dataclass(frozen=True)
class Run:
    """A run, frozen at one commit; cheap to pickle. ``refresh()`` gives the next state.

    Parameters
    ----------
    path : where the run lies, a ``pathlib.Path`` or a ``Bucket``.
    commit : the state that is read.
    stages : what each derived stage was made from; see ``write_stage``.
    """

    path: Any
    commit: Commit
    stages: Mapping[str, dict[str, Any]]

    def __getstate__(self) -> tuple[Any, Commit, dict[str, Any]]:
        return self.path, self.commit, dict(self.stages)

    def __setstate__(self, state: tuple[Any, Commit, dict[str, Any]]) -> None:
        for name, value in zip(("path", "commit", "stages"), state, strict=True):
            object.__setattr__(self, name, value)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        versions = sorted((name, stage["version"]) for name, stage in self.stages.items())
        return ("deeptracker.Run", str(self.path), self.commit.run, self.generation, versions)

    def __repr__(self) -> str:
        records = growth.rows if (growth := self.commit.groups.get("filters/dense")) else 0
        return f"<Run {self.path}: {records} filter records, generation {self.generation}>"

    @property
    def generation(self) -> int:
        """Number of the commit."""
        return self.commit.generation

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the run: model, framework, host, schedules."""
        return MappingProxyType(dict(self.commit.attributes))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Every group that can be read, as ``dataset`` takes it."""
        growing = {path for path, growth in self.commit.groups.items() if growth.rows}
        declared = {path: group_of(path) for path in self.commit.tables if path not in self.commit.groups}
        static = {path for path, group in declared.items() if group is None or group.append is None}
        derived = {path for stage in self.stages.values() for path in stage["groups"]}
        return tuple(sorted(growing | static | derived))

    def has(self, group: str) -> bool:
        """Whether a group can be read."""
        return group in self.groups

    def dataset(self, group: str, *, dask: bool = False) -> xr.Dataset:
        """A group as a Dataset; values are read when they are taken.

        Parameters
        ----------
        group : a path of ``groups``.
        dask : Dask arrays with one chunk a shard (all of the other axes), instead of lazily indexed NumPy; rows of
            a shard are in ``encoding["shard_rows"]``.

        Raises
        ------
        MissingGroupError
            The run lacks the group; the message names what makes it.
        """
        if not self.has(group):
            raise MissingGroupError(why_missing(self.path, group, self.groups, self.stages))
        try:
            dataset, rows = self._growing(group) if group in self.commit.groups else self._whole(group)
            if group != "architecture":
                dataset = labelled(dataset, self._architecture, self._images_of(group), self._architecture_key)
        except (ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
            raise DamagedRunError(
                f"{self.path}: parts of {group} do not fit together ({type(error).__name__}): "
                f"deeptracker verify {self.path} names what is damaged"
            ) from error
        dataset.encoding["shard_rows"] = rows
        return chunked(dataset, rows) if dask else dataset

    def _growing(self, group: str) -> tuple[xr.Dataset, int]:
        growth = self.commit.groups[group]
        table = read_table(self.path, self.commit, group)
        dataset = xr.Dataset() if table is None else table
        variables: dict[str, xr.Variable] = {}
        positions: dict[str, xr.Variable] = {}
        for name, column in growth.columns.items():
            array = JoinedArray(self.path, self.commit, group, name)
            if name == growth.axis:
                positions[name] = xr.Variable(column.dims, np.asarray(array.rows(slice(0, growth.rows))))
            else:
                lazy: Any = indexing.LazilyIndexedArray(array)
                variables[name] = xr.Variable(column.dims, lazy, variable_attributes(group, name, {}))
        plain = all(is_plain(column.shape, column.dims) for column in growth.columns.values())
        # In one go: each step by itself would go through every variable again.
        dataset = xr.Dataset({**dataset.data_vars, **variables}, {**dataset.coords, **positions}, dataset.attrs)
        return dataset, PLAIN_CHUNK if plain else growth.shard_rows

    def _whole(self, group: str) -> tuple[xr.Dataset, int]:
        stage = self.stages.get(group.split("/")[0])
        if stage is not None and group in stage["groups"]:
            first, _, rest = group.partition("/")
            place = self.path / LOG / first / str(stage["version"]) / rest
            edition = Edition(self.path, self.commit.run, group, stage["version"], first)
            return read_group((place,), f"{self.path}: {group}", edition), stage["groups"][group]
        table = read_table(self.path, self.commit, group)
        assert table is not None
        return table, PLAIN_CHUNK

    @cached_property
    def _architecture(self) -> xr.Dataset | None:
        return self.dataset("architecture") if self.has("architecture") else None

    @property
    def _architecture_key(self) -> object:
        return self.commit.run, self.commit.tables.get("architecture")

    def _images_of(self, group: str) -> xr.Dataset | None:
        parts = group.split("/")
        if parts[0] in STAGES:
            parts = parts[1:]
        if parts[0] != "validation" or len(parts) < 3:
            return None
        images = f"images/{parts[1]}"
        if images not in self._image_sets and self.has(images):
            self._image_sets[images] = self.dataset(images)
        return self._image_sets.get(images)

    @cached_property
    def _image_sets(self) -> dict[str, xr.Dataset]:
        return {}  # opened once: their classes label every group of answers

    @property
    def scalars(self) -> xr.Dataset:
        """Loss, learning rates and every other single number, by ``iteration``. Dask."""
        return self.dataset("scalars", dask=True)

    @property
    def filters(self) -> xr.Dataset:
        """Statistics of every filter: (iteration, filter), with the MultiIndex (layer, channel). Dask."""
        return self.dataset("filters/dense", dask=True)

    @property
    def layers(self) -> xr.Dataset:
        """Statistics of every layer: (iteration, layer). Dask."""
        return self.dataset("layers/dense", dask=True)

    @property
    def architecture(self) -> xr.Dataset:
        """Layers in order of execution, their filters, the graph. Dask."""
        return self.dataset("architecture", dask=True)

    @property
    def images(self) -> xr.Dataset:
        """Images of the first validation set. Dask."""
        sets = [path for path in self.groups if path.startswith("images/")]
        return self.dataset(self._first(sets, "images/validation"), dask=True)

    @property
    def validation(self) -> xr.Dataset:
        """Answers of every pass over the first validation set with raw weights: (validation, image). Dask."""
        sets = [f"validation/{name}" for name in self.validation_sets if name.endswith("/raw")]
        return self.dataset(self._first(sets, "validation/validation/raw"), dask=True)

    @staticmethod
    def _first(found: list[str], usual: str) -> str:
        return usual if usual in found or not found else found[0]

    @property
    def validation_sets(self) -> tuple[str, ...]:
        """Every ``<set>/<weights>`` with validation passes, such as ``validation/raw``."""
        return tuple(path.removeprefix("validation/") for path in self.groups if path.startswith("validation/"))

    @property
    def tree(self) -> xr.DataTree:
        """Every group, lazily, as one DataTree."""
        tree = xr.DataTree.from_dict({f"/{path}": self.dataset(path) for path in self.groups}, name=self.path.name)
        tree.attrs.update(self.attributes)
        return tree

    @property
    def thinned(self) -> pd.DataFrame:
        """What was deleted to keep the disk budget: ``group``, ``first`` and ``last`` iteration, ``rows``, ``bytes``.

        Statistics of these rows read as NaN (whole numbers as −1); their minima, means and maxima stay in
        ``index/filters_8`` and the coarser bins.
        """
        return thinned_table(self.path, self.commit)

    @property
    def lost(self) -> pd.DataFrame:
        """What a damage took, and a repair left missing: ``group``, ``variable``, ``first``, ``last``, ``rows``."""
        return lost_table(self.path, self.commit)

    def bytes_by_group(self) -> dict[str, int]:
        """Bytes on disk by group, largest first; ``tail`` and ``other`` hold what belongs to no single group."""
        return bytes_by_group(self.path, self.commit, self.stages)

    def refresh(self) -> Run:
        """The run as it is now."""
        return open_run(self.path)

    def write_stage(
        self, stage: str, provenance: Mapping[str, Any], *, continued: bool = False
    ) -> AbstractContextManager[StageWriter]:
        """Write a derived stage: ``with run.write_stage("index", {…}) as writer: writer.put(group, dataset)``.

        On a clean exit the new result takes the old one's place at once; after an exception the old one stays.

        Parameters
        ----------
        stage : ``index``, ``anomalies`` or ``correlation``.
        provenance : parameters and whatever else says how it was made; the inputs' generation, the package's
            version, the time and the seconds it took are added.
        continued : rows of the stage that this run shows can stay: ``writer.put_many(…, after={group: rows})``.
        """
        before = self.stages[stage]["version"] if continued else None
        return StageWriter(self.path, stage, {"generation": self.generation, **provenance}, before)

    def event_documents(self) -> list[dict[str, Any]]:
        """Ranked events and labels, one dictionary each, as ``deeptracker events --json`` prints them, with what was
        said of each as ``remark``. MissingGroupError where the run was not analysed.
        """
        return ranked_events(self.dataset("anomalies/events")["document"].values, self.path)

    def remark(self, rank: int, verdict: str | None = None, note: str = "") -> Remark:
        """Keep what a person says of the event of this rank, in place of what was said before.

        ``verdict`` is ``confirmed``, ``dismissed`` or None; with neither, an earlier remark is taken back.

        Raises InputError (no such rank or verdict) and LockedRunError (another process keeps one just now).
        """
        return keep_remark(self.path, self.event_documents(), rank, verdict, note)

    def events(self) -> pd.DataFrame:
        """Ranked events and labels, one row each; columns are the fields of the JSON format."""
        fields = "rank kind cause iteration known_at end layers filters classes images false_per_1000 evidence remark"
        return pd.DataFrame(self.event_documents(), columns=fields.split())


__all__ = ["Run", "open_run"]
