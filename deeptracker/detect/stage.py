"""The stage ``anomalies``: scores, alarm levels, states and events of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from deeptracker.aggregate import Batch, Later, Progress
from deeptracker.conform import build
from deeptracker.detect.alarms import Alarm, class_alarms, parameter_alarms, rate_alarms, state_alarms
from deeptracker.detect.answers import FALSE_PER_1000 as OF_CLASSES
from deeptracker.detect.answers import Answers, score_answers
from deeptracker.detect.batches import batch_alarms
from deeptracker.detect.carried import earlier
from deeptracker.detect.events import Names, document, join, rank, rate_label
from deeptracker.detect.few import few_events
from deeptracker.detect.memory import memory_alarms
from deeptracker.detect.parameters import FALSE_PER_1000 as OF_PARAMETERS
from deeptracker.detect.parameters import Parameters, maxima, score_parameters
from deeptracker.detect.rates import RateEvent, rate_events
from deeptracker.detect.scored import score_run
from deeptracker.detect.shifts import FALSE_PER_1000 as OF_SHIFTS
from deeptracker.detect.shifts import shift_alarms
from deeptracker.detect.tables import begin_filters, find_lowest, put_parameters
from deeptracker.store import Run

_MOST_IMAGES = 24

ALLOWED = {"parameters": OF_PARAMETERS, "shifts": OF_SHIFTS, "classes": OF_CLASSES}
"""False alarms per 1,000 iterations that the levels allow; states, batches, learning rates and memory are facts."""


def detect(run: Run, *, reference: Sequence[Run] = (), progress: Progress | None = None) -> Run:
    """Score a run and write the stage ``anomalies``.

    Parameters
    ----------
    run : the run; ``filters/dense`` or a validation set must be there for anything to be found.
    reference : earlier, similar runs, analysed, whose tails set the alarm level from the first record on.
    progress : called with what is done and the share done.

    Returns
    -------
    The run with its anomalies. See ``methods`` §2 and §3 for the definitions.
    """
    rates = _rates(run)
    before = earlier(run)
    provenance: dict[str, Any] = {
        "false_per_1000": ALLOWED,
        "reference": [str(r.path) for r in reference],
    }
    if before is not None:
        provenance["carried_over"] = {"before": before.position, "version": run.stages["anomalies"]["version"]}
    with run.write_stage("anomalies", provenance) as writer:
        batch = Batch()
        changes = np.array([position for position, _ in rates], np.int64)
        # First what takes a worker longest at once: small tasks at the end keep all of them busy up to it.
        answers = [score_answers(batch, run, view, changes, writer) for view in run.validation_sets
                   if _has_classes(run, view)]  # fmt: skip
        parameters: Later[Parameters] | None = None
        if run.has("filters/dense") and run.has("scalars"):
            into = begin_filters(run, writer)
            tails = [maxima(other) for other in reference]
            scored = score_run(batch, run, before, writer, max(region.file_rows for region in into))
            lowest = find_lowest(batch, run)
            # The levels are found, and the tasks that rest on them begun, while workers look for the lowest cosine.
            parameters = scored.then(lambda scored: score_parameters(batch, scored, into, before, tails))
        batch.compute("scores", progress)
        if parameters is not None:
            put_parameters(run, parameters.value, lowest.value, before, writer)
        if progress is not None:
            progress("events", 0.0)
        documents = find_events(
            run, None if parameters is None else parameters.value, [part.value for part in answers], rates
        )
        documents = rank(documents + few_events(run))
        if before is not None:
            documents = rank(before.join(documents))
        writer.put("anomalies/events", _event_table(documents))
    return run.refresh()


def find_events(
    run: Run, parameters: Parameters | None, answers: list[Answers], rates: list[tuple[int, RateEvent]]
) -> list[dict[str, Any]]:
    """Ranked documents of everything that stood above its level; labels (declared or ordinary changes) after them."""
    names = _names(run, answers)
    gap = int(np.median(np.diff(answers[0].passes))) if answers and len(answers[0].passes) > 1 else 10
    alarms = []
    if parameters is not None:
        sizes = np.array(names.sizes, np.int64)
        layer = np.repeat(np.arange(len(sizes)), sizes)
        alarms += parameter_alarms(parameters, sizes, gap) + state_alarms(parameters, layer)
        alarms += shift_alarms(parameters, gap)
    if run.has("scalars"):
        iteration = run.dataset("scalars")["iteration"].values
        alarms += rate_alarms([event for _, event in rates], iteration)
    alarms += batch_alarms(run, gap) + memory_alarms(run)
    hints: list[Alarm] = []
    for found in answers:
        for alarm in class_alarms(found):
            alarm.facts["view"] = found.view
            (alarms if alarm.excess >= 1 else hints).append(alarm)
    documents = []
    for group in join(alarms, gap):
        first, last = min(a.start for a in group), max(a.onset if a.kind == "state" else a.end for a in group)
        near = [h for h in hints if first <= h.end and h.start <= last + gap]
        event = document([*group, *near], names, gap)
        event["images"] = _flipped(run, answers, [*group, *near], event["iteration"])
        documents.append(event)
    labels = [rate_label(event, position) for position, event in rates if not event.spike]
    return rank(documents + labels)


def _flipped(run: Run, answers: list[Answers], alarms: list[Any], onset: int) -> list[int | str]:
    """Images that turned wrong at the pass where the event's classes lost most, or at the first pass after it."""
    if not answers:
        return []
    found = answers[0]
    lost = [a for a in alarms if a.kind == "class" and a.what == "loss" and a.facts["view"] == found.view]
    if lost:
        worst = max(lost, key=lambda a: a.facts["images"])
        return found.lost(run, worst.facts["pass"], [worst.place], _MOST_IMAGES)
    place = int(np.searchsorted(found.passes, onset))
    if not 0 < place < len(found.passes):
        return []
    return found.lost(run, place, [], _MOST_IMAGES)


def _rates(run: Run) -> list[tuple[int, RateEvent]]:
    """(iteration, event) of every jump of any parameter group's learning rate, one for groups that jump together."""
    if not run.has("scalars"):
        return []
    scalars = run.dataset("scalars")
    rate = scalars["learning_rate"].values
    seen: dict[int, RateEvent] = {}
    for group in range(rate.shape[1]):
        for event in rate_events(rate[:, group]):
            seen.setdefault(int(scalars["iteration"].values[event.position]), event)
    return sorted(seen.items())


def _has_classes(run: Run, view: str) -> bool:
    images = f"images/{view.split('/')[0]}"
    return run.has(images) and bool((run.dataset(images)["target"].values >= 0).any())


def _names(run: Run, answers: list[Answers]) -> Names:
    classes = answers[0].classes if answers else []
    if not run.has("architecture"):
        return Names([], [], [], classes)
    table = run.dataset("architecture")
    layers = [str(name) for name in table["layer"].values]
    return Names(layers, table["filters"].values.tolist(), table["first_filter"].values.tolist(), classes)


def _event_table(documents: list[dict[str, Any]]) -> xr.Dataset:
    arrays = {
        "document": [json.dumps(event) for event in documents],
        "rank": np.array([event["rank"] for event in documents], np.int32),
        "iteration": np.array([event["iteration"] for event in documents], np.int64),
    }
    return build("anomalies/events", arrays, {})
