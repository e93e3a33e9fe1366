"""Scalars of any source, gathered by iteration: one row for each iteration at which anything is known."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from deeptracker.conform import position
from deeptracker.errors import InputError
from deeptracker.ingest.outcome import Outcome
from deeptracker.schema.recorded import SCALARS
from deeptracker.sink import Sink

# Tags that mean the training loss or the learning rate, most specific first; separators do not matter.
_LOSS = (
    "train loss", "loss train", "training loss", "train batch loss", "train loss step", "loss", "batch loss",
    "epoch loss train", "train epoch loss", "train loss epoch", "total loss", "epoch loss",
)  # fmt: skip
_RATE = (
    "learning rate", "lr", "train learning rate", "train lr", "learning rate train", "lr train",
    "epoch learning rate", "epoch lr", "batch learning rate",
)  # fmt: skip
_EPOCH = ("epoch", "train epoch")
_LONGEST = 160
_EMPTY_CELLS = (1_000_000, 200)
_OWN = {variable.name for variable in SCALARS.variables}
_TAKEN = {*_OWN, "zarr.json", *(dim for variable in SCALARS.variables for dim in variable.dims)}


class Scalars:
    """Values by iteration and name. A later value of the same name and iteration replaces the earlier one."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[str, float]] = defaultdict(dict)
        self._rates: dict[int, list[float]] = {}
        self._names: dict[str, None] = {}
        self._own: dict[int, dict[str, float]] = defaultdict(dict)
        self.replaced = 0

    def __bool__(self) -> bool:
        return bool(self._rows or self._rates or self._own)

    def add(self, iteration: int, tag: str, value: float, wall_time: float = float("nan")) -> None:
        """A value under the name that its source gives it."""
        row = self._rows[iteration]
        self.replaced += tag in row
        row[tag] = value
        self._names[tag] = None
        if not np.isnan(wall_time):
            self._own[iteration]["wall_time"] = wall_time

    def put(self, iteration: int, rates: Sequence[float] = (), **values: float) -> None:
        """Values under names of the data model, NaN for what is not known."""
        self._own[iteration] |= {name: value for name, value in values.items() if not np.isnan(value)}
        if rates:
            self._rates[iteration] = list(rates)

    def write(self, sink: Sink, outcome: Outcome) -> int:
        """Append all rows in order of iteration; returns how many. NaN where a row lacks a value.

        Loss and learning rate are taken from the tag that is named so, and that is said.
        """
        iterations = sorted(set(self._rows) | set(self._rates) | set(self._own))
        if not iterations:
            return 0
        values = sum(map(len, self._rows.values()))
        if len(iterations) * len(self._names) > _EMPTY_CELLS[0] + _EMPTY_CELLS[1] * values:
            raise InputError(
                f"scalars of {len(self._names):,} names at {len(iterations):,} iterations, hardly two of them "
                "together: ingest what belongs together by itself"
            )
        names = self._variables(outcome)
        groups = max((len(rates) for rates in self._rates.values()), default=0)
        rate_tag = next((tag for tag, name in names.items() if name == "learning_rate"), None)
        if rate_tag is not None and groups > 1:
            names[rate_tag] = "learning_rate_logged"  # the checkpoints say more: one for each parameter group
        elif rate_tag is not None:
            groups = 1
        sink.coordinates("scalars", {"param_group": np.arange(groups)})
        extra = [name for name in names.values() if name not in _OWN]
        before: int | None = None
        for iteration in iterations:
            row: dict[str, Any] = dict.fromkeys(
                ("loss", "grad_norm", "epoch", "wall_time", "recorder_seconds", *extra), np.nan
            )
            row |= {names[tag]: value for tag, value in self._rows.get(iteration, {}).items()}
            row |= self._own.get(iteration, {})
            rates = np.full(groups, np.nan)
            if groups == 1 and "learning_rate" in row:
                rates[0] = row.pop("learning_rate")
            known = self._rates.get(iteration, [])
            rates[: len(known)] = known
            row |= {"learning_rate": rates, "steps": steps_since(before, iteration), "step_skipped": -1}
            sink.append("scalars", iteration, row)
            before = iteration
        return len(iterations)

    def _variables(self, outcome: Outcome) -> dict[str, str]:
        """The variable of each tag."""
        words = {tag: " ".join(re.split(r"[\W_]+", tag.lower())).strip() for tag in self._names}
        plain = {tag: re.sub(r" \d+$", "", text) for tag, text in words.items()}  # TensorFlow 1 appends _1 to names
        out: dict[str, str] = {}
        for name, known in (("loss", _LOSS), ("learning_rate", _RATE), ("epoch", _EPOCH)):
            ranked = sorted((known.index(text), tag) for tag, text in plain.items() if text in known)
            if ranked:
                out[ranked[0][1]] = name
                if ranked[0][1] != name:
                    outcome.note(f"{name} is the scalar {ranked[0][1]!r}")
        if "loss" not in out.values() and self._names:
            outcome.note("no scalar is named as the training loss: loss is NaN")
        taken = {*out.values(), *_OWN, *(dim for variable in SCALARS.variables for dim in variable.dims), "zarr.json"}
        for tag in self._names:
            if tag in out:
                continue
            name = _file_name(tag)
            while name in taken:
                name += "_logged"
            out[tag] = name
            taken.add(name)
        return out


def _file_name(tag: str) -> str:
    """The name of a variable, which a folder will have: no path, nothing that a terminal obeys, not too long."""
    name = "".join(c if c.isprintable() and c != "\\" else "_" for c in re.sub(r"[/\s]+", ".", tag))
    return name.encode()[:_LONGEST].decode(errors="ignore").strip("._") or "scalar"


def steps_since(before: int | None, iteration: int) -> int:
    """Iterations since the record before, −1 where there is none; no more than the variable holds."""
    return -1 if before is None else min(iteration - before, np.iinfo(np.int32).max)


def whole(value: float, where: str) -> int:
    """An iteration as a whole number.

    Raises
    ------
    InputError
        It is none, negative, or past 2⁵³ − 1.
    """
    return position(value, f"{where}: iteration")


__all__ = ["Scalars", "steps_since", "whole"]
