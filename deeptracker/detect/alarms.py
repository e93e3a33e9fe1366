"""From scores to alarms: for how long which layer's filters, layer, class or state stood above its level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deeptracker.detect.answers import Answers
from deeptracker.detect.parameters import Parameters, Scores
from deeptracker.detect.rates import RateEvent
from deeptracker.detect.states import SETTLED
from deeptracker.schema.derived import DIRECTIONS, MODEL_SIGNALS, RULES, SIGNALS, STATES

_TRACED = 2

Index = npt.NDArray[np.int64]


@dataclass(slots=True)
class Alarm:
    """Something that stood above its level from ``onset`` to ``end`` (iterations, both included).

    ``start`` is where its evidence begins (the pass before, for validation). ``kind`` is filters, layer, model,
    class, state or rate; ``place`` the layer's or the class's number, −1 for the whole net. ``excess`` is its peak
    in units of the alarm level, ``false_per_1000`` how often such a height is reached by chance.
    """

    kind: str
    place: int
    what: str
    onset: int
    end: int
    start: int
    known_at: int
    excess: float
    false_per_1000: float
    filters: dict[int, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def _stretches(flags: Any, iteration: Index, gap: int) -> list[tuple[int, int]]:
    """Positions (first, last) of stretches of True, joined where at most ``gap`` iterations lie between."""
    at = np.flatnonzero(flags)
    if not len(at):
        return []
    breaks = np.flatnonzero(np.diff(iteration[at]) > gap)
    firsts = np.concatenate([[0], breaks + 1])
    lasts = np.concatenate([breaks, [len(at) - 1]])
    return [(int(at[a]), int(at[b])) for a, b in zip(firsts, lasts, strict=True)]


def parameter_alarms(found: Parameters, layer: Index, gap: int) -> list[Alarm]:
    """Alarms of filters (one per layer and stretch), layers and the model; ``layer`` is each filter's layer.

    Records before the frontier of a thinned run raise none: their events are carried over.
    """
    out = []
    signals = 2 * len(SIGNALS) + len(MODEL_SIGNALS)  # each has a level of its own and may be wrong by itself
    for kind, scores, owner, names in (
        ("filters", found.filters, layer, SIGNALS),
        ("layer", found.layers, np.arange(found.layers.values.shape[1]), SIGNALS),
        ("model", found.model, np.full(1, -1), MODEL_SIGNALS),
    ):
        score, signal, excess = scores.strongest()
        excess[: found.frontier] = np.nan
        above = np.nan_to_num(excess) >= 1
        for place in np.unique(owner[above.any(0)]):
            mine = np.flatnonzero(owner == place)
            for first, last in _stretches(above[:, mine].any(1), found.iteration, gap):
                window = slice(first, last + 1)
                part = np.nan_to_num(excess[window][:, mine])
                row, column = np.unravel_index(int(part.argmax()), part.shape)
                record, thing = first + int(row), int(mine[column])
                number = int(signal[record, thing])
                falsely = scores.levels[number].false_per_1000(record, abs(float(score[record, thing])))
                members = mine[above[window][:, mine].any(0)]
                begin = _traced_back(excess[:, members], first)
                alarm = Alarm(
                    kind,
                    int(place),
                    names[number],
                    int(found.iteration[begin]),
                    int(found.iteration[last]),
                    int(found.iteration[begin]),
                    int(found.iteration[first]),
                    float(part[row, column]),
                    float(falsely or 0.0) * signals,
                    facts={"score": float(score[record, thing]), "at": int(found.iteration[record])},
                )
                if kind == "filters":
                    alarm.filters = {int(f): float(_signed_peak(score[window, f])) for f in members}
                    alarm.facts["by_signal"] = _by_signal(scores, window, mine)
                out.append(alarm)
    return out


def _traced_back(excess: npt.NDArray[np.float32], first: int) -> int:
    """Where an alarm known at ``first`` began: records before it that stood at half the level without a gap.

    Momentum builds a change up over some records; the level is crossed by the second or third of them.
    """
    begin = first
    while begin > 0 and first - begin < _TRACED and np.nan_to_num(excess[begin - 1]).max() >= 0.5:
        begin -= 1
    return begin


def _signed_peak(values: npt.NDArray[np.float32]) -> float:
    return float(values[int(np.nanargmax(np.abs(np.nan_to_num(values))))])


def _by_signal(scores: Scores, window: slice, mine: Index) -> dict[str, float]:
    """Largest |score| of each signal within a stretch, for the evidence."""
    peaks = np.nan_to_num(np.abs(scores.values[:, mine, window])).max((1, 2))
    return {name: float(peak) for name, peak in zip(SIGNALS, peaks, strict=True)}


def state_alarms(found: Parameters, layer: Index) -> list[Alarm]:
    """Filters that entered a state after the first 50 records; one alarm a layer, state and onset.

    Non-finite values are an alarm from the first record on.
    """
    out = []
    onsets, ends = found.states["onset"].values, found.states["end"].values
    last = int(found.iteration[-1])
    for row, state in enumerate(STATES):
        settled = 0 if state == "non-finite" else min(SETTLED, len(found.iteration) - 1)
        entered = (onsets[row] >= 0) & (onsets[row] >= found.iteration[settled])
        for place in np.unique(layer[entered]):
            mine = np.flatnonzero(entered & (layer == place))
            for onset in np.unique(onsets[row, mine]):
                members = mine[onsets[row, mine] == onset]
                finished = ends[row, members]
                end = last if (finished < 0).any() else int(finished.max())
                filters = {int(f): float("inf") for f in members}
                facts = {
                    "count": len(members),
                    "of": int((layer == place).sum()),
                    "lasts": bool((finished < 0).any()),
                }
                out.append(
                    Alarm("state", int(place), state, int(onset), end, int(onset), end if state != "non-finite"
                          else int(onset), float("inf"), 0.0, filters, facts)
                )  # fmt: skip
    return out


def rate_alarms(events: list[RateEvent], iteration: Index) -> list[Alarm]:
    """Learning-rate spikes."""
    out = []
    for event in events:
        if event.spike:
            onset = int(iteration[event.position])
            back = event.end if event.end is not None else event.position
            end = int(iteration[max(back - 1, event.position)])
            facts = {"factor": event.factor, "back": int(iteration[back]) if event.end is not None else None}
            out.append(Alarm("rate", -1, "learning_rate", onset, end, onset, onset, float("inf"), 0.0, facts=facts))
    return out


def class_alarms(answers: Answers, level: float) -> list[Alarm]:
    """Classes whose score reaches ``level``, one alarm a class and direction and stretch of consecutive passes."""
    out = []
    for place in range(len(answers.classes)):
        for direction in range(2):
            scores = np.nan_to_num(answers.score[:, place, direction], nan=-np.inf)
            peak, rule = scores.max(1), scores.argmax(1)
            for first, last in _stretches(peak >= level, np.arange(len(peak)), 1):
                top = first + int(peak[first : last + 1].argmax())
                counts = answers.counts[place]
                flips = float(counts.observed[top, direction, 0])
                expected = float(counts.expected[top, direction, 0])
                late = answers.length - 1 if RULES[int(rule[top])] == "right" else 0
                known = min(top + late, len(answers.passes) - 1)
                facts = {
                    "direction": DIRECTIONS[direction], "rule": RULES[int(rule[top])], "score": float(peak[top]),
                    "images": int(flips), "expected": expected, "pass": top, "at": int(answers.passes[top]),
                }  # fmt: skip
                alarm = Alarm("class", place, DIRECTIONS[direction], onset=int(answers.passes[first]),
                              end=int(answers.passes[last]), start=int(answers.passes[max(first - 1, 0)]) + 1,
                              known_at=int(answers.passes[known]), excess=float(peak[top] / answers.level),
                              false_per_1000=answers.false_per_1000(float(peak[top])), facts=facts)  # fmt: skip
                out.append(alarm)
    return out
