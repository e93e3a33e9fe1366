"""Which iteration a checkpoint belongs to: told by the file or by its name, by one rule for the whole series."""

from __future__ import annotations

import math
import re
from pathlib import Path

from deeptracker.errors import InputError
from deeptracker.ingest.checkpoint import Checkpoint
from deeptracker.ingest.outcome import Outcome

_NUMBER = re.compile(r"(?P<word>[a-zA-Z]*)[-_=.]*(?P<digits>\d+)")
_STEP_WORDS = {"step", "steps", "iter", "iteration", "it", "globalstep"}
_EPOCH_WORDS = {"epoch", "epochs", "ep", "e"}


class Numbering:
    """The rule, fixed by the first checkpoint; ``epochs`` is True where it counts epochs.

    Parameters
    ----------
    root : folder that names are relative to.
    steps_per_epoch : what epochs are multiplied by, or None to leave them as they are.
    """

    def __init__(self, root: Path, steps_per_epoch: int | None, outcome: Outcome) -> None:
        self._root, self._outcome = root, outcome
        self._factor = steps_per_epoch
        self._rule = ""
        self._taken: dict[int, str] = {}
        self.epochs = False

    def fix(self, path: Path, checkpoint: Checkpoint, alone: bool) -> None:
        """Choose the rule by the first checkpoint; ``alone`` where there is no second."""
        words = {word for word, _ in self._numbers(path)}
        candidates = (
            ("step inside the files", checkpoint.step is not None, False),
            ("step in their names", bool(words & _STEP_WORDS), False),
            ("epoch inside the files", checkpoint.epoch is not None, True),
            ("epoch in their names", bool(words & _EPOCH_WORDS), True),
            ("last number in their names", bool(words), False),
            ("place in natural order" if not alone else "0: nothing tells it", True, False),
        )
        self._rule, _, self.epochs = next(candidate for candidate in candidates if candidate[1])
        times = f", times {self._factor}" if self.epochs and self._factor else ""
        self._outcome.note(f"the iteration of a checkpoint is the {self._rule}{times}")
        if self.epochs and not self._factor:
            self._outcome.note("iterations of checkpoints are epochs; give steps_per_epoch to count optimizer steps")

    def iteration(self, path: Path, checkpoint: Checkpoint) -> int:
        """The iteration of one checkpoint.

        Raises
        ------
        InputError
            The rule gives none, or one that does not come after all earlier ones.
        """
        rule, numbers = self._rule, self._numbers(path)
        found: float | None
        if rule == "step inside the files":
            found = checkpoint.step
        elif rule == "epoch inside the files":
            found = checkpoint.epoch
        elif rule.startswith(("place", "0")):
            found = len(self._taken)
        else:
            words = _STEP_WORDS if rule.startswith("step") else _EPOCH_WORDS if rule.startswith("epoch") else None
            found = next((digits for word, digits in reversed(numbers) if words is None or word in words), None)
        if found is None:
            raise InputError(f"has no {rule.split(' in')[0]}, unlike the first of the series")
        value = found * self._factor if self.epochs and self._factor else found
        if not math.isfinite(value) or value != int(value) or not 0 <= value < 2**62:
            raise InputError(f"its iteration {value:g} is no whole number from 0 on")
        iteration, last = int(value), max(self._taken, default=-1)
        if iteration in self._taken:
            raise InputError(f"iteration {iteration} again, after {self._taken[iteration]}")
        if iteration < last:
            raise InputError(f"iteration {iteration} comes after {last} ({self._taken[last]}) in natural order")
        self._taken[iteration] = path.name
        return iteration

    def epoch(self, iteration: int) -> float:
        """The epoch that an iteration of this series stands for, NaN where it counts something else."""
        return iteration / (self._factor or 1) if self.epochs else float("nan")

    def _numbers(self, path: Path) -> list[tuple[str, int]]:
        name = path.relative_to(self._root).with_suffix("").as_posix()
        return [(match["word"].lower(), int(match["digits"])) for match in _NUMBER.finditer(name)]


__all__ = ["Numbering"]
