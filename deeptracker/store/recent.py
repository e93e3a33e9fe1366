"""The newest rows of a run, as if there were no others: for an analysis that must not take longer and longer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from deeptracker.schema import SCHEMA_VERSION
from deeptracker.store.layout import STAGES as MARKER
from deeptracker.store.run import Run
from deeptracker.store.sealed import seal
from deeptracker.store.stage import StageWriter, load_stages

ASIDE = "live"
"""Folder of a run for what is made of its newest rows; it goes when that is read."""


@dataclass(frozen=True)
class Recent(Run):
    """A run cut to its newest rows; it knows no stage, and those that are made of it are written aside.

    Parameters
    ----------
    first : of each growing group, the first row that is seen.
    """

    first: Mapping[str, int]

    @classmethod
    def of(cls, run: Run, records: int, passes: int) -> Recent:
        """The newest ``records`` of the filters, what else was recorded along them, and ``passes`` of each set."""
        dense = run.dataset("filters/dense")["iteration"].values
        since = int(dense[max(len(dense) - records, 0)]) if len(dense) else 0
        first = {}
        for group, growth in run.commit.groups.items():
            if not growth.rows:
                continue
            if group.startswith("validation/"):
                first[group] = max(growth.rows - passes, 0)
            else:
                first[group] = int(np.searchsorted(run.dataset(group)[growth.axis].values, since))
        return cls(run.path, run.commit, {}, first)

    def __getstate__(self) -> Any:
        return super().__getstate__(), dict(self.first)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[0])
        object.__setattr__(self, "first", state[1])

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return "deeptracker.Recent", super().__dask_tokenize__(), sorted(self.first.items())

    @property
    def cut(self) -> tuple[tuple[str, int], ...]:
        """Tells it from the run, and from other cuts of it."""
        return tuple(sorted(self.first.items()))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Groups that have a row in it, and those that do not grow."""
        grown = self.commit.groups
        return tuple(
            group for group in super().groups if group not in grown or self.first.get(group, 0) < grown[group].rows
        )

    def dataset(self, group: str, *, dask: bool = False) -> xr.Dataset:
        """As of ``Run.dataset``, from the first row on that is seen."""
        dataset = super().dataset(group, dask=dask)
        if not self.first.get(group):
            return dataset
        rows = dataset.encoding["shard_rows"]
        dataset = dataset.isel({self.commit.groups[group].axis: slice(self.first[group], None)})
        dataset.encoding["shard_rows"] = rows
        return dataset

    def write_stage(
        self, stage: str, provenance: Mapping[str, Any], *, continued: bool = False
    ) -> AbstractContextManager[StageWriter]:
        """Write a stage of it, aside of the run's own."""
        (self.path / ASIDE / MARKER).put(seal({"schema_version": SCHEMA_VERSION, "stages": {}}))
        return StageWriter(self.path / ASIDE, stage, {"generation": self.generation, **provenance}, None)

    def refresh(self) -> Run:
        """What was made of it: the derived groups alone can be read."""
        aside = self.path / ASIDE
        return Run(aside, replace(self.commit, groups={}, tables={}), load_stages(aside))

    def remove(self) -> None:
        """Everything that was made of it."""
        (self.path / ASIDE).remove()


__all__ = ["ASIDE", "Recent"]
