"""Tags of TensorBoard event files: scalars by name, histograms of weights and gradients by layer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.ingest.eventfile import Histogram, Truncated, makes_sense, read_events
from deeptracker.ingest.histograms import distribution, moments
from deeptracker.ingest.network import architecture
from deeptracker.ingest.outcome import Outcome
from deeptracker.ingest.scalars import Scalars, steps_since
from deeptracker.schema.recorded import statistics
from deeptracker.sink import Sink
from deeptracker.statistics import HISTOGRAM_EDGES, THRESHOLDS

_WORDS = {
    "g": {"grad", "grads", "gradient", "gradients"},
    "w": {"weight", "weights", "kernel", "kernels", "w"},
    "bias": {"bias", "biases", "beta", "gamma", "b"},
    "activations": {"activation", "activations", "act", "output", "outputs", "relu"},
    "": {"parameters", "params", "parameter", "histogram", "histograms"},
}
_MEANING = {word: kind for kind, words in _WORDS.items() for word in words}
_QUARTILES = ("q1", "median", "q3")
Key = tuple[str, str]  # layer, "w" or "g"


@dataclass(slots=True)
class Tracked:
    """Histograms of event files: (layer, letter) → step → statistics of that layer; and sizes to tell them apart."""

    values: dict[Key, dict[int, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    sizes: dict[Key, float] = field(default_factory=dict)
    biases: dict[str, float] = field(default_factory=dict)
    buckets_only: bool = False

    @property
    def layers(self) -> list[str]:
        """Names of layers, as first met."""
        return list(dict.fromkeys(layer for layer, _ in self.values))

    @property
    def steps(self) -> list[int]:
        return sorted({step for rows in self.values.values() for step in rows})


def read_tracker(
    files: Sequence[Path], root: Path, scalars: Scalars, outcome: Outcome, progress: Callable[[str, float], None]
) -> Tracked:
    """Read event files whole; scalars go to ``scalars``. Folders become part of tags where there are several."""
    tracked = Tracked()
    folders = {file.parent for file in files}
    total, done = sum(file.stat().st_size for file in files) or 1, 0
    for file in files:
        progress(f"event file {file.name}", done / total)
        prefix = f"{file.parent.relative_to(root).as_posix()}/" if len(folders) > 1 and file.parent != root else ""
        try:
            for value in read_events(file):
                if isinstance(value.value, float) and value.step >= 0:
                    scalars.add(value.step, f"{prefix}{value.tag}", value.value, value.wall_time)
                elif isinstance(value.value, Histogram) and value.step >= 0:
                    _take(tracked, value.tag, value.step, value.value, outcome)
                elif value.kind not in ("no value", ""):
                    outcome.leave_out(value.tag, f"{value.kind}: neither a scalar nor a histogram")
        except Truncated as error:
            outcome.leave_out(f"the end of {file.name}", str(error).partition(": ")[2])
        done += file.stat().st_size
    if scalars.replaced:
        outcome.note(f"{scalars.replaced:,} scalars were written twice for one step: the later value counts")
    _drop_normalisations(tracked, outcome)
    return tracked


def _take(tracked: Tracked, tag: str, step: int, histogram: Histogram, outcome: Outcome) -> None:
    layer, kind = meaning(tag)
    if kind == "bias":
        tracked.biases[layer] = histogram.count
    reason = {
        "bias": "biases and normalisations are not the weights of a layer",
        "activations": "activations of a training batch; the run keeps those of a fixed probe batch only",
        "": "the tag does not say whether these are weights or gradients",
    }.get(kind)
    if reason is not None:
        outcome.leave_out(f"histogram {tag}", reason)
        return
    if not makes_sense(histogram):
        outcome.leave_out(f"histogram {tag}", "its numbers are not those of a histogram")
        return
    tracked.buckets_only |= bool(np.isnan(histogram.total))
    tracked.sizes[layer, kind] = histogram.count
    tracked.values[layer, kind][step] = moments(histogram, kind) | distribution(histogram, kind)


def meaning(tag: str) -> tuple[str, str]:
    """(layer, kind) of a histogram's tag; kind is w, g, bias, activations, or empty where the tag does not say."""
    kinds, rest = [], []
    for part in re.split(r"[/.]", tag):
        name = re.sub(r"[:_]\d+$", "", part) if part.lower() not in _MEANING else part
        base, _, tail = name.rpartition("_")
        if name.lower() in _MEANING:
            kinds.append(_MEANING[name.lower()])
        elif tail.lower() in _MEANING and base:
            kinds.append(_MEANING[tail.lower()])
            rest.append(base)
        else:
            rest.append(part)
    layer = ".".join(rest) or tag
    for kind in ("activations", "bias", "g", "w"):  # a gradient of weights is a gradient, one of biases neither
        if kind in kinds:
            return layer, kind
    return layer, ""


def _drop_normalisations(tracked: Tracked, outcome: Outcome) -> None:
    for layer, letter in list(tracked.values):
        if layer in tracked.biases and tracked.sizes[layer, letter] == tracked.biases[layer]:
            del tracked.values[layer, letter]
            outcome.leave_out(f"histogram of {layer}", "as many weights as biases: a normalisation")


def write_histograms(sink: Sink, tracked: Tracked, outcome: Outcome) -> None:
    """Write layers from histograms: ``architecture``, ``layers/dense``, ``layers/full``. There are no filters."""
    layers, steps = tracked.layers, tracked.steps
    index = {layer: i for i, layer in enumerate(layers)}
    sizes = [tracked.sizes.get((layer, "w"), tracked.sizes.get((layer, "g"), 0)) for layer in layers]
    norms = np.full(len(layers), np.nan)
    for (layer, letter), rows in tracked.values.items():
        if letter == "w":
            norms[index[layer]] = rows[min(rows)]["w_norm2"]
    empty = [""] * len(layers)
    known = {
        "type": empty, "kernel": empty, "normalisation": empty, "parameters": np.array(sizes, np.int64),
        "lr_group": np.full(len(layers), -1), "init_norm2": norms,
    }  # fmt: skip
    order = "order of the tags; the execution was not observed"
    sink.put("architecture", architecture(layers, np.zeros(len(layers), np.intp), known, {"order": order}))
    sink.coordinates("layers/dense", {"layer": layers})
    sink.coordinates("layers/full", {"layer": layers, "bin": HISTOGRAM_EDGES, "threshold": THRESHOLDS})
    dense = [variable.name for variable in statistics("layer") if variable.name != "nonfinite"]
    before: int | None = None
    for step in steps:
        row: dict[str, Any] = {name: np.full(len(layers), np.nan, np.float32) for name in dense}
        row["nonfinite"] = np.zeros(len(layers), np.int32)  # a histogram of what is not finite cannot be written
        full: dict[str, Any] = {
            f"{letter}_{name}": np.full(len(layers), np.nan, np.float32) for letter in "wg" for name in _QUARTILES
        }
        full |= {f"{letter}_hist": np.zeros((len(layers), len(HISTOGRAM_EDGES)), np.int32) for letter in "wg"}
        full["change_ratio_cdf"] = np.full((len(layers), len(THRESHOLDS)), np.nan, np.float32)
        full["stable_rank"] = np.full(len(layers), np.nan, np.float32)
        for (layer, _), rows in tracked.values.items():
            for name, value in rows.get(step, {}).items():
                (row if name in row else full)[name][index[layer]] = value
        row["grad_ratio2"] = _ratio(row["g_norm2"], row["w_norm2"])
        row["steps"] = steps_since(before, step)
        sink.append("layers/dense", step, row)
        sink.append("layers/full", step, full)
        before = step
    outcome.found.append(f"histograms of {len(layers)} layers at {len(steps)} steps")
    outcome.note(
        "histograms tell layers, not filters, and no update sizes: those are absent or NaN; their buckets were put "
        "into the run's bins, which approximates where a bucket spans several"
    )
    if tracked.buckets_only:
        outcome.note("some histograms came without sums: mean, deviation and norm are those of the buckets' middles")


def _ratio(top: Any, bottom: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom != 0, top / bottom, np.nan).astype(np.float32)


__all__ = ["Tracked", "meaning", "read_tracker", "write_histograms"]
