"""Which of the events that an analysis reports hit a planted fault, and what else they got right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeptracker.trials.effect import Effect
from deeptracker.trials.settings import VALIDATE_EVERY

RECORDS = 2
"""An event's onset may lie so many records from the effect's; one validation interval where answers show it."""

CAUSES = {
    "none": "none", "lr-drop": "none", "bad-batch": "bad-batch", "label-flip": "label-noise", "lr-spike": "lr-spike",
    "dead-filters": "dead-filters", "frozen-layer": "frozen-filters", "non-finite": "non-finite",
    "weight-decay": "decay-or-normalisation", "normalisation": "decay-or-normalisation", "duplicates": "data-order",
    "class-withheld": "missing-class", "class-sorted": "data-order", "momentum-reset": "state-lost",
    "state-lost": "state-lost", "underflow": "unknown", "validation-images": "validation-only",
    "input-shift": "unknown", "weight-noise": "unknown", "stale-gradients": "unknown",
}  # fmt: skip
"""What is planted → the cause that is right. An underflow has no name of its own among the causes."""

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an analysis got right about one fork.

    Attributes
    ----------
    place : rank among the reported events of the first that hits, from 1; None: none does.
    others : events that do not: false alarms.
    layer, class_ : rank of a right layer, of a right class, in the event that hits; None: not in it.
    precision : average precision of the ranked filters of the event that hits, where filters were hurt.
    cause : of the event that hits; ``none`` where none does.
    delay : iterations from the effect's onset until the event was known.
    """

    place: int | None
    others: int
    layer: int | None
    class_: int | None
    precision: float | None
    cause: str
    delay: int | None


def judge(truth: Mapping[str, Any], effect: Effect | None, events: Sequence[Event]) -> Verdict:
    """Judge the reported events, strongest first.

    A fault without an effect, or none at all, cannot be hit: every event is a false alarm then.
    """
    onset = None if effect is None else effect.onset
    hits = [] if onset is None else [number for number, event in enumerate(events) if _hits(event, onset)]
    if not hits:
        return Verdict(None, len(events), None, None, 0.0 if truth["channels"] else None, "none", None)
    event = events[hits[0]]
    return Verdict(
        hits[0] + 1,
        len(events) - len(hits),
        _rank(event["layers"], truth["layers"]),
        _rank(event["classes"], truth["classes"]),
        _precision(event["filters"], truth) if truth["channels"] else None,
        event["cause"],
        int(event["known_at"]) - (onset or 0),
    )


def _hits(event: Event, onset: int) -> bool:
    allowed = VALIDATE_EVERY if event["cause"] == "validation-only" else RECORDS
    return abs(int(event["iteration"]) - onset) <= allowed


def _rank(found: Sequence[str], right: Sequence[str]) -> int | None:
    return next((number for number, name in enumerate(found, 1) if name in right), None)


def _precision(filters: Sequence[Mapping[str, Any]], truth: Mapping[str, Any]) -> float:
    """Mean, over the hurt filters, of the precision at each one's rank; 0 for those that are not named."""
    right = {(truth["layers"][0], channel) for channel in truth["channels"]}
    named = np.array([(one["layer"], one["channel"]) in right for one in filters], bool)
    at = np.flatnonzero(named)
    return float((np.arange(1, len(at) + 1) / (at + 1)).sum() / len(right))


__all__ = ["CAUSES", "RECORDS", "Verdict", "judge"]
