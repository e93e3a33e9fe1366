"""Joins alarms into events, ranks them, and writes each as one document of the JSON format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deeptracker.detect.alarms import Alarm
from deeptracker.detect.causes import cause_of, evidence, stays
from deeptracker.detect.rates import RateEvent
from deeptracker.detect.scores import LEAST_RECORDS

_MOST_FILTERS, _MOST_CLASSES = 64, 10
_NEVER = 1e-6
"""False alarms per 1,000 iterations below which all are alike: no tail of some hundred records tells them apart."""


@dataclass(frozen=True, slots=True)
class Names:
    """What numbers are called: layers and their sizes, first filters, classes."""

    layers: list[str]
    sizes: list[int]
    first: list[int]
    classes: list[str]

    def filter(self, number: int) -> tuple[str, int]:
        """Layer and channel of a position on the filter axis."""
        layer = int(np.searchsorted(self.first, number, side="right")) - 1
        return self.layers[layer], number - self.first[layer]


def join(alarms: list[Alarm], gap: int) -> list[list[Alarm]]:
    """Alarms that overlap in time, or lie at most ``gap`` iterations (one validation interval) apart.

    The return to normal belongs to the event: an alarm at a place that already is part of it may come up to 50
    records (the least past of a score) later. A state that lasts (a dead filter stays dead) reaches no further than
    its onset: what happens long after it is another event. A fact that begins more than an interval after an event
    did (what batches held, the learning rate, a lost memory, a state that stays) is one of its own: it needs no event
    to explain it; but batches that go on being wrong are one event.
    """
    groups: list[list[Alarm]] = []
    reach = begun = 0
    for alarm in sorted(alarms, key=lambda a: a.start):
        last = alarm.onset if alarm.kind == "state" else alarm.end
        known = bool(groups) and _place(alarm) in {_place(other) for other in groups[-1]}
        own = bool(groups) and _is_fact(alarm) and alarm.start > begun + gap and not _goes_on(alarm, groups[-1])
        if groups and not own and alarm.start <= reach + (max(gap, LEAST_RECORDS) if known else gap):
            groups[-1].append(alarm)
            reach = max(reach, last)
        else:
            groups.append([alarm])
            reach, begun = last, alarm.start
    return groups


def _is_fact(alarm: Alarm) -> bool:
    return alarm.kind in ("batch", "memory", "rate") or (alarm.kind == "state" and stays(alarm))


def _goes_on(fact: Alarm, group: list[Alarm]) -> bool:
    """Whether batches were wrong already when they were wrong in this way, too."""
    return fact.kind == "batch" and any(a.kind == "batch" and a.start <= fact.start <= a.end for a in group)


def _place(alarm: Alarm) -> tuple[str, int]:
    kind = alarm.kind if alarm.kind in ("class", "model", "rate", "batch", "memory") else "layer"
    return kind, alarm.place


def document(alarms: list[Alarm], names: Names, gap: int) -> dict[str, Any]:
    """One event of the JSON format, still without its rank and its images."""
    hard = [a for a in alarms if a.kind != "class"]
    facts = [a.start for a in alarms if a.kind in ("batch", "memory", "rate")]
    # What batches held, or the optimizer did, tells when it began; an alarm may have stood near its level before.
    dated = [a for a in hard if not facts or a.onset >= min(facts)]
    sharp = min((a.onset for a in dated if a.kind != "shift"), default=0)
    # A sum may begin with a record or two of noise; what stands out by itself soon after tells better.
    dated = [a for a in dated if a.kind != "shift" or not 0 < sharp - a.onset <= gap]
    onset = min(a.onset for a in dated or alarms)
    cause = cause_of(alarms, onset, len(names.layers))
    falsely = min(a.false_per_1000 for a in alarms)
    strength: dict[int, float] = {}
    for a in alarms:
        if a.kind in ("state", "filters", "layer", "shift"):
            early = a.onset <= onset + 1
            weight = (1e9 if a.kind == "state" else 0) + (1e6 if early else 0) + min(a.excess, 1e5)
            strength[a.place] = max(strength.get(a.place, 0), weight)
    filters: dict[int, float] = {}
    for a in alarms:
        for number, value in a.filters.items():
            if abs(value) > abs(filters.get(number, 0)) or not np.isfinite(value):
                filters[number] = value
    chosen = sorted(filters, key=lambda f: (-abs(filters[f]), f))[:_MOST_FILTERS]
    classes: dict[int, float] = {}
    for a in alarms:
        if a.kind == "class":
            # Images that turn wrong name a class before images that turn right: those are often its neighbours'.
            classes[a.place] = max(classes.get(a.place, 0), a.excess * (1 if a.what == "loss" else 0.5))
        elif a.kind == "batch" and 0 <= a.place < len(names.classes):
            classes[a.place] = a.excess
            if 0 <= (instead := a.facts["instead"]) < len(names.classes):
                classes[instead] = 1e9
    ends = [a.end for a in alarms if a.kind != "state"] or [onset]
    return {
        "rank": 0,
        "kind": "anomaly",
        "cause": cause,
        "iteration": onset,
        "known_at": max(onset, min(a.known_at for a in alarms)),
        "end": max(ends),
        "layers": [names.layers[p] for p in sorted(strength, key=lambda p: -strength[p])],
        "filters": [_filter(names, f, filters[f]) for f in chosen],
        "classes": [names.classes[c] for c in sorted(classes, key=lambda c: -classes[c])[:_MOST_CLASSES]],
        "images": [],
        "false_per_1000": falsely,
        "evidence": evidence(alarms, cause, names.layers, names.sizes, names.classes, gap),
    }


def _filter(names: Names, number: int, score: float) -> dict[str, Any]:
    layer, channel = names.filter(number)
    return {"layer": layer, "channel": channel, "score": round(score, 2) if np.isfinite(score) else None}


def rank(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Anomalies by ``false_per_1000`` (what chance would not do in any training is alike), then by extent; labels
    after them, by time. Ranks run through.
    """

    def key(event: dict[str, Any]) -> tuple[Any, ...]:
        if event["kind"] == "label":
            return (1, event["iteration"], 0)
        extent = len(event["layers"]) + len(event["classes"])
        falsely = event["false_per_1000"]
        return (0, float("inf") if falsely is None else max(falsely, _NEVER), -extent)

    ordered = sorted(documents, key=key)
    for number, event in enumerate(ordered, 1):
        event["rank"] = number
    return ordered


def rate_label(event: RateEvent, iteration: int) -> dict[str, Any]:
    """A jump of the learning rate that is no anomaly, as a label."""
    verb = "fell" if event.factor < 1 else "rose"
    times = 1 / event.factor if event.factor < 1 else event.factor
    return {
        "rank": 0,
        "kind": "label",
        "cause": "lr-drop" if event.factor < 1 else "lr-rise",
        "iteration": iteration,
        "known_at": iteration,
        "end": iteration,
        "layers": [],
        "filters": [],
        "classes": [],
        "images": [],
        "false_per_1000": None,
        "evidence": [
            {
                "text": f"the learning rate {verb} {times:.3g}-fold at {iteration}",
                "expression": f"run.scalars.learning_rate.sel(iteration=slice({iteration - 5}, {iteration + 5}))",
                "for": True,
            }
        ],
    }
