"""What an earlier analysis found in a run that was thinned since: carried over, since it cannot be found again.

The *frontier* is the first record that can still be judged as if nothing were gone: every record that its score looks
back on is there. What came before it, scores, levels, states and events, is kept as it was; it is judged by the
records from then on only how a state that lasted went on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.detect.episodes import Episodes
from deeptracker.detect.scores import WINDOW
from deeptracker.schema.derived import STATES

if TYPE_CHECKING:
    from deeptracker.store import Run

LOOKS_BACK = 2 * WINDOW + 1
"""Records that a score rests on: the scale's window of residuals, each with its own, the oldest a difference."""

STATED = "found before the records around it were thinned, and kept from that analysis"

Found = tuple[npt.NDArray[np.float32], npt.NDArray[np.int8], npt.NDArray[np.float32]]


class Earlier:
    """The earlier stage "anomalies" up to the frontier. No dataclass: Dask would look for tasks in all of its fields.

    Parameters
    ----------
    run : its run, with that stage.
    frontier, position : number of the first record that is judged anew, and its iteration.
    """

    def __init__(self, run: Run, frontier: int, position: int) -> None:
        self.run, self.frontier, self.position = run, frontier, position

    def put_into(self, found: Found, level: str, start: int, stop: int) -> None:
        """Overwrite what was found of filters or layers from record ``start`` on, for the records before ``stop``."""
        table = self.run.dataset(f"anomalies/{level}s").isel(iteration=slice(start, stop))
        score, signal, excess = (table[f"{level}_{name}"].values for name in ("score", "signal", "excess"))
        rows = stop - start
        found[0][:rows], found[1][:rows], found[2][:rows] = score, signal, excess

    def maxima(self, level: str) -> npt.NDArray[np.float64]:
        """Largest |score| of filters or layers at each record, (signal, frontier)."""
        table = self.run.dataset("anomalies/iterations").isel(iteration=slice(0, self.frontier))
        return np.asarray(table[f"{level}_maximum"].values.T, np.float64)

    def lowest_cosine(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """The original's ten filters before the frontier, and their cosines; (records, rank)."""
        table = self.run.dataset("anomalies/lowest_cosine").isel(iteration=slice(0, self.frontier))
        return table["filter"].values, table["update_cosine"].values

    def states(self, chosen: slice) -> xr.Dataset:
        """Onset and end of the states of some filters."""
        return self.run.dataset("anomalies/states").isel(filter=chosen).load()

    def w_rms_at_start(self, chosen: slice) -> npt.NDArray[np.float32]:
        """Size of the weights of some filters at the start: the mean over the first bin of the index; (filters,)."""
        first = self.run.dataset("index/filters_8")["w_rms"].isel(iteration_bin=0, filter=chosen)
        return np.asarray(first.sel(reduction="mean").values)

    def documents(self) -> list[dict[str, Any]]:
        """Events and labels that began before the frontier; events say that they are carried over."""
        out = [event for event in self.run.event_documents() if event["iteration"] < self.position]
        for event in out:
            said = any(line["text"] == STATED for line in event["evidence"])
            if event["kind"] == "anomaly" and not said:
                event["evidence"].append({"text": STATED, "expression": "run.thinned", "for": True})
        return out

    def join(self, fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Events of before the frontier as they were, and of those found now the ones that reach past it."""
        kept = self.documents()
        spans = [(event["iteration"], event["end"]) for event in kept if event["kind"] == "anomaly"]
        for event in fresh:
            first, last = event["iteration"], event["end"]
            known = any(first <= end and start <= last for start, end in spans)
            if first >= self.position or (event["kind"] == "anomaly" and last >= self.position and not known):
                kept.append(event)
        return kept


_READ = ("filters/dense", "filters/probe")


def earlier(run: Run) -> Earlier | None:
    """What has to be carried over; None where nothing is thinned, or no earlier analysis is there."""
    gone = {path: run.commit.groups[path] for path in _READ if path in run.commit.groups}
    gone = {path: growth for path, growth in gone.items() if growth.thinned}
    if not gone or not run.has("anomalies/iterations"):
        return None
    iteration = run.dataset("filters/dense")["iteration"].values
    frontier = 0
    for path, growth in gone.items():
        last = run.dataset(path)["iteration"].values[growth.thinned.spans[-1].stop - 1]
        frontier = max(frontier, int(np.searchsorted(iteration, last, side="right")) + LOOKS_BACK)
    frontier = min(frontier, run.dataset("anomalies/iterations").sizes["iteration"], len(iteration) - 1)
    for path, growth in gone.items():
        again = growth.thinned.renewed
        if again is not None and again < growth.rows:  # the earlier analysis saw rows that were recorded anew
            position = run.dataset(path)["iteration"].values[again]
            frontier = min(frontier, int(np.searchsorted(iteration, position)))
    return Earlier(run, frontier, int(iteration[frontier]))


def carry_states(
    found: xr.Dataset, before: xr.Dataset, position: int, sources: Sequence[Mapping[str, Episodes]]
) -> xr.Dataset:
    """States as they were before the frontier, gone on with the records from it on.

    Parameters
    ----------
    found : onset and end (state, filter) by what is there now. before : by the earlier analysis.
    position : iteration of the frontier.
    sources : what the records, and what the probe saw of each state. They tell it independently: the one that told
        it at the frontier goes on telling.
    """
    onset, end = found["onset"].values.copy(), found["end"].values.copy()
    for row, state in enumerate(STATES):
        first, past = before["onset"].values[row], before["end"].values[row]
        known = (first >= 0) & (first < position)
        ended = known & (past >= 0) & (past < position)
        onset[row][~known & (onset[row] < position)] = -1
        onset[row][known] = first[known]
        end[row][ended] = past[ended]
        left = np.full(len(first), position, np.int64)
        for episodes in (source[state] for source in reversed(sources) if state in source):
            left = np.where(episodes.there, episodes.left, left)
        end[row][known & ~ended] = left[known & ~ended]
    return found.assign(onset=(found["onset"].dims, onset), end=(found["end"].dims, end))


__all__ = ["LOOKS_BACK", "Earlier", "carry_states", "earlier"]
