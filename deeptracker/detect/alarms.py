"""From scores to alarms: for how long which layer's filters, layer, class or state stood above its level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deeptracker.detect.answers import Answers
from deeptracker.detect.parameters import Parameters
from deeptracker.detect.rates import RateEvent
from deeptracker.detect.states import SETTLED
from deeptracker.detect.tail import Levels
from deeptracker.schema.derived import DIRECTIONS, MODEL_SIGNALS, RULES, SIGNALS, STATES

_TRACED = 2
_DEAD_TOGETHER = 0.05

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


def stretches(flags: Any, iteration: Index, gap: int) -> list[tuple[int, int]]:
    """Positions (first, last) of stretches of True, joined where at most ``gap`` iterations lie between."""
    at = np.flatnonzero(flags)
    if not len(at):
        return []
    breaks = np.flatnonzero(np.diff(iteration[at]) > gap)
    firsts = np.concatenate([[0], breaks + 1])
    lasts = np.concatenate([breaks, [len(at) - 1]])
    return [(int(at[a]), int(at[b])) for a, b in zip(firsts, lasts, strict=True)]


def parameter_alarms(found: Parameters, sizes: Index, gap: int) -> list[Alarm]:
    """Alarms of filters (one per layer and stretch), layers and the model; ``sizes`` are the layers' filters.

    Records before the frontier of a thinned run raise none: their events are carried over.
    """
    out = _filter_alarms(found, sizes, gap)
    for kind, scores, names, places in (
        ("layer", found.layers, SIGNALS, np.arange(found.layers.values.shape[2])),
        ("model", found.model, MODEL_SIGNALS, np.array([-1])),
    ):
        score, signal, excess = scores.found
        for column, place in enumerate(places.tolist()):
            height = np.nan_to_num(excess[:, column])
            height[: found.frontier] = 0
            for first, last in stretches(height >= 1, found.iteration, gap):
                top = first + int(height[first : last + 1].argmax())
                begin = _traced_back(excess[max(first - _TRACED, found.frontier) : first, [column]])
                number = int(signal[top, column])
                peak = float(height[top]), float(score[top, column])
                records, levels = (first - begin, first, last, top), scores.levels[number]
                out.append(_alarm(kind, place, names[number], found.iteration, records, *peak, levels))
    return out


def _filter_alarms(found: Parameters, sizes: Index, gap: int) -> list[Alarm]:
    peaks, scores = found.filters.peaks, found.filters
    score_of, _, excess_of = scores.into
    height = peaks.excess.copy()
    height[: found.frontier] = 0
    begins = np.cumsum(sizes) - sizes
    out = []
    for place in np.flatnonzero((height >= 1).any(0)).tolist():
        mine = slice(int(begins[place]), int(begins[place] + sizes[place]))
        for first, last in stretches(height[:, place] >= 1, found.iteration, gap):
            top = first + int(height[first : last + 1, place].argmax())
            before = max(first - _TRACED, found.frontier)
            excess = np.nan_to_num(excess_of.read(before, last + 1, mine))
            members = np.flatnonzero((excess[first - before :] >= 1).any(0))
            begin = _traced_back(excess[: first - before, members])
            number = int(peaks.signal[top, place])
            peak = float(height[top, place]), float(peaks.score[top, place])
            records = first - begin, first, last, top
            alarm = _alarm("filters", place, SIGNALS[number], found.iteration, records, *peak, scores.levels[number])
            score = score_of.read(first, last + 1, mine)
            alarm.filters = {int(mine.start + f): float(_signed_peak(score[:, f])) for f in members}
            out.append(alarm)
    return out


def _alarm(
    kind: str,
    place: int,
    what: str,
    iteration: Index,
    records: tuple[int, int, int, int],
    excess: float,
    score: float,
    levels: Levels,
) -> Alarm:
    """``records`` are those of the beginning, of the first and the last above the level, and of the peak."""
    begin, first, last, top = (int(iteration[record]) for record in records)
    signals = 2 * len(SIGNALS) + len(MODEL_SIGNALS)  # each has a level of its own and may be wrong by itself
    falsely = float(levels.false_per_1000(records[3], abs(score)) or 0.0) * signals
    return Alarm(kind, place, what, begin, last, begin, first, excess, falsely, facts={"score": score, "at": top})


def _traced_back(excess: npt.NDArray[np.float32]) -> int:
    """How many records before it is known an alarm began: those at half the level without a gap, at the end.

    Momentum builds a change up over some records; the level is crossed by the second or third of them.
    ``excess`` is (records, things) of the records before.
    """
    back = 0
    while back < len(excess) and np.nan_to_num(excess[len(excess) - 1 - back]).max(initial=0) >= 0.5:
        back += 1
    return back


def _signed_peak(values: npt.NDArray[np.float32]) -> float:
    return float(values[int(np.nanargmax(np.abs(np.nan_to_num(values))))])


def state_alarms(found: Parameters, layer: Index) -> list[Alarm]:
    """Filters that entered a state after the first 50 records; one alarm a layer, state and onset.

    Non-finite values are an alarm from the first record on. A filter that dies alone, or with less than a twentieth
    of its layer, is none: behind a ReLU without normalisation some do in every training. Its state tells it.
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
                if state == "dead" and len(members) < max(2, _DEAD_TOGETHER * int((layer == place).sum())):
                    continue
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


def class_alarms(answers: Answers) -> list[Alarm]:
    """Classes whose score comes near the level, one alarm a class and direction and stretch of consecutive passes."""
    out = []
    high = answers.high
    for place, direction in np.unique(np.stack([high["class"], high["direction"]], 1), axis=0).tolist():
        mine = high[(high["class"] == place) & (high["direction"] == direction)]
        for first, last in stretches(np.ones(len(mine), bool), mine["pass"], 1):
            stretch = mine[first : last + 1]
            top = stretch[int(stretch["score"].argmax())]
            at, score, rule = int(top["pass"]), float(top["score"]), RULES[int(top["rule"])]
            begin, end = int(stretch["pass"][0]), int(stretch["pass"][-1])
            known = min(at + (answers.length - 1 if rule == "right" else 0), len(answers.passes) - 1)
            facts = {
                "direction": DIRECTIONS[direction], "rule": rule, "score": score, "images": int(top["observed"]),
                "expected": float(top["expected"]), "pass": at, "at": int(answers.passes[at]),
            }  # fmt: skip
            alarm = Alarm("class", place, DIRECTIONS[direction], onset=int(answers.passes[begin]),
                          end=int(answers.passes[end]), start=int(answers.passes[max(begin - 1, 0)]) + 1,
                          known_at=int(answers.passes[known]), excess=score / answers.level,
                          false_per_1000=answers.false_per_1000(score), facts=facts)  # fmt: skip
            out.append(alarm)
    return out
