"""The stage ``anomalies``: scores, alarm levels, states and events of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.conform import build
from deeptracker.detect.alarms import Alarm, class_alarms, parameter_alarms, rate_alarms, state_alarms
from deeptracker.detect.answers import Answers, score_answers
from deeptracker.detect.carried import Earlier, earlier
from deeptracker.detect.events import Names, document, join, rank, rate_label
from deeptracker.detect.original import TOP, lowest_cosine
from deeptracker.detect.parameters import FALSE_PER_1000, Parameters, score_parameters
from deeptracker.detect.rates import RateEvent, rate_events
from deeptracker.schema.derived import DIRECTIONS, MODEL_SIGNALS, RULES, SIGNALS
from deeptracker.store import Run, open_run

Progress = Callable[[str, float], None]
EVIDENCE_SHARE = 0.6  # of the class level: enough to name a class of an event that others prove
_MOST_IMAGES = 24


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
    say = progress or (lambda what, share: None)
    parameters: Parameters | None = None
    say("scores of filters and layers", 0.0)
    if run.has("filters/dense") and run.has("scalars"):
        parameters = score_parameters(run, [_reference_maxima(other) for other in reference])
    rates = _rates(run)
    say("left and right rule, class scores", 0.6)
    changes = np.array([position for position, _ in rates], np.int64)
    answers = [score_answers(run, view, changes) for view in run.validation_sets if _has_classes(run, view)]
    say("events", 0.9)
    documents = find_events(run, parameters, answers, rates)
    provenance: dict[str, Any] = {
        "false_per_1000": {"parameters": FALSE_PER_1000},
        "reference": [str(r.path) for r in reference],
    }
    before = earlier(run)
    if before is not None:
        documents = rank(before.join(documents))
        provenance["carried_over"] = {"before": before.position, "version": run.stages["anomalies"]["version"]}
    with run.write_stage("anomalies", provenance) as writer:
        if parameters is not None:
            _put_parameters(run, parameters, before, writer)
        for found in answers:
            writer.put(f"anomalies/validation/{found.view}/classes", _class_table(found))
        writer.put("anomalies/events", _event_table(documents))
    say("events", 1.0)
    return run.refresh()


def find_events(
    run: Run, parameters: Parameters | None, answers: list[Answers], rates: list[tuple[int, RateEvent]]
) -> list[dict[str, Any]]:
    """Ranked documents of everything that stood above its level; labels (declared or ordinary changes) after them."""
    names = _names(run, answers)
    gap = int(np.median(np.diff(answers[0].passes))) if answers and len(answers[0].passes) > 1 else 10
    alarms = []
    if parameters is not None:
        layer = np.repeat(np.arange(len(names.sizes)), names.sizes)
        alarms += parameter_alarms(parameters, layer, gap) + state_alarms(parameters, layer)
    if run.has("scalars"):
        iteration = run.dataset("scalars")["iteration"].values
        alarms += rate_alarms([event for _, event in rates], iteration)
    hints: list[Alarm] = []
    for found in answers:
        for alarm in class_alarms(found, EVIDENCE_SHARE * found.level):
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
    return run.has(images) and bool((run.dataset(images)["target"].values >= 0).all())


def _names(run: Run, answers: list[Answers]) -> Names:
    classes = answers[0].classes if answers else []
    if not run.has("architecture"):
        return Names([], [], [], classes)
    table = run.dataset("architecture")
    layers = [str(name) for name in table["layer"].values]
    return Names(layers, table["filters"].values.tolist(), table["first_filter"].values.tolist(), classes)


def _put_parameters(run: Run, found: Parameters, before: Earlier | None, writer: Any) -> None:
    coordinates = {"iteration": found.iteration}
    layers = {"layer": run.dataset("architecture")["layer"].values}
    excesses = []
    for level, scores, more in (("filter", found.filters, {}), ("layer", found.layers, layers)):
        score, signal, excess = scores.strongest()
        excesses.append(excess)
        arrays = {f"{level}_score": score, f"{level}_signal": signal, f"{level}_excess": excess}
        writer.put(f"anomalies/{level}s", build(f"anomalies/{level}s", arrays, coordinates | more))
    excesses.append(found.model.strongest()[2])
    strongest = np.fmax.reduce([_fmax(excess) for excess in excesses])
    arrays = {
        "filter_level": np.stack([v.level for v in found.filters.levels], 1).astype(np.float32),
        "layer_level": np.stack([v.level for v in found.layers.levels], 1).astype(np.float32),
        "filter_maximum": found.filters.maxima.T.astype(np.float32),
        "layer_maximum": found.layers.maxima.T.astype(np.float32),
        "model_score": found.model.values[:, 0].T,
        "model_level": np.stack([v.level for v in found.model.levels], 1).astype(np.float32),
        "iteration_score": strongest,
    }
    axes = coordinates | {"signal": list(SIGNALS), "model_signal": list(MODEL_SIGNALS)}
    writer.put("anomalies/iterations", build("anomalies/iterations", arrays, axes))
    layer = run.dataset("architecture")["filter_layer"].values.astype(np.int64)
    cosine = run.dataset("filters/dense")["update_cosine"].values
    place, lowest = lowest_cosine(cosine, layer)
    if before is not None:
        place[: before.frontier], lowest[: before.frontier] = before.lowest_cosine()
    ranks = coordinates | {"rank": np.arange(1, TOP + 1)}
    table = build("anomalies/lowest_cosine", {"filter": place, "update_cosine": lowest}, ranks)
    writer.put("anomalies/lowest_cosine", table)
    states = {name: found.states[name].values for name in ("onset", "end")}
    writer.put(
        "anomalies/states", build("anomalies/states", states, {"state": found.states["state"].values.tolist()})
    )


def _fmax(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.fmax.reduce(values, axis=1) if values.shape[1] else np.full(len(values), np.nan, np.float32)


def _class_table(found: Answers) -> xr.Dataset:
    arrays = {
        "left": found.left,
        "right": found.right,
        "final": found.final,
        "class_score": found.score.astype(np.float32),
        "class_level": np.full(len(found.passes), found.level, np.float32),
    }
    axes = {
        "validation": found.passes,
        "class": found.classes,
        "k": np.arange(1, found.left.shape[2] + 1),
        "direction": list(DIRECTIONS),
        "rule": list(RULES),
    }
    return build(f"anomalies/validation/{found.view}/classes", arrays, axes)


def _event_table(documents: list[dict[str, Any]]) -> xr.Dataset:
    arrays = {
        "document": [json.dumps(event) for event in documents],
        "rank": np.array([event["rank"] for event in documents], np.int32),
        "iteration": np.array([event["iteration"] for event in documents], np.int64),
    }
    return build("anomalies/events", arrays, {})


def _reference_maxima(run: Run | str | Path) -> dict[str, Any]:
    """Maxima per signal of an earlier run, scored anew: its own alarms are left out by the level's fit."""
    other = open_run(run) if isinstance(run, (str, Path)) else run
    found = score_parameters(other)
    return {"filter": found.filters.maxima, "layer": found.layers.maxima, "model": found.model.maxima}
