"""What most likely caused an event, and what speaks for and against it, in words that can be followed to numbers."""

from __future__ import annotations

from typing import Any

from deeptracker.detect.alarms import Alarm

_LONG, _DRIFT = 100, 20  # records after which what is dead is dead, and what shrinks shrinks
_FEW = 2  # classes that wrong labels of one class turn
SHORT = 3  # records that the loss stays up after one bad batch, momentum included
CAUSES = (
    "lr-spike", "non-finite", "dead-filters", "frozen-filters", "exploding-filters", "saturated-filters", "bad-batch",
    "label-noise", "data-order", "missing-class", "decay-or-normalisation", "state-lost", "validation-only",
    "unknown",
)  # fmt: skip


def cause_of(alarms: list[Alarm], onset: int, layers: int) -> str:
    """Name the cause of an event from its alarms; ``layers`` is the number of layers of the net.

    Facts come first (learning rate, the optimizer's memory, what the batches held, states that begin with the event),
    then shapes: where the
    images of one or two classes turn wrong beyond the alarm level while the others hold, labels were wrong; where the
    loss jumps for at most three records and a third of the layers move with it, a batch was bad; where the weights of
    one layer shrink on and on, or nothing but running statistics moves, the decay or the normalisation is wrong.
    """
    if any(a.kind == "rate" for a in alarms):
        return "lr-spike"
    if any(a.kind == "memory" and a.onset <= onset + SHORT for a in alarms):
        return "state-lost"
    held = {a.what for a in alarms if a.kind == "batch" and a.onset <= onset + SHORT}
    # Where few classes come at a time, others are gone by that.
    for what, name in (("crowded", "data-order"), ("repeated", "data-order"), ("relabelled", "label-noise"),
                       ("gone", "missing-class")):  # fmt: skip
        if what in held:
            return name
    states = [a for a in alarms if a.kind == "state" and a.onset <= onset + SHORT]
    for state, name in (("non-finite", "non-finite"), ("dead", "dead-filters"), ("frozen", "frozen-filters"),
                        ("exploding", "exploding-filters"), ("saturated", "saturated-filters")):  # fmt: skip
        if any(a.what == state and (state != "dead" or stays(a)) for a in states):
            return name
    parameters = [a for a in alarms if a.kind in ("filters", "layer", "shift", "model")]
    lost = [a for a in alarms if a.kind == "class" and a.what == "loss"]
    if not parameters:
        return "validation-only" if any(a.kind == "class" for a in alarms) else "unknown"
    if lost and len({a.place for a in lost}) <= _FEW and max(a.excess for a in lost) >= 1:
        return "label-noise"
    at_onset = {a.place for a in parameters if a.kind != "model" and a.onset <= onset + 1}
    loss = [a for a in parameters if a.kind == "model" and a.onset <= onset + 1]
    brief = bool(loss) and all(a.end - a.onset < SHORT for a in loss)
    if brief and len(at_onset) >= max(layers // 3, 2):
        return "bad-batch"
    return "decay-or-normalisation" if not loss and _drifts(parameters, onset, layers) else "unknown"


def stays(state: Alarm) -> bool:
    """Whether a state lasts: what is dead for a while only was starved by something else."""
    return state.what == "non-finite" or state.facts["lasts"] or state.end - state.onset >= _LONG


def _drifts(alarms: list[Alarm], onset: int, layers: int) -> bool:
    """Whether one layer's weights shrink for long, or running statistics of many layers move and nothing else."""
    first = [a for a in alarms if a.kind != "model" and a.onset <= onset + SHORT]
    what = {a.what for a in first}
    if "w_rms" in what and what <= {"w_rms", "update_ratio2", "update_angle"}:  # updates grow against less weight
        sizes = [a for a in first if a.what == "w_rms"]
        shrinks = all(a.facts["score"] < 0 and a.facts["at"] > a.onset for a in sizes)
        return shrinks and len({a.place for a in first}) == 1 and max(a.end for a in first) - onset >= _DRIFT
    return what <= {"bn_running_mean", "bn_running_var"} and len({a.place for a in first}) >= max(layers // 3, 2)


def evidence(
    alarms: list[Alarm], cause: str, layer_names: list[str], layer_sizes: list[int], class_names: list[str], gap: int
) -> list[dict[str, Any]]:
    """Sentences with the xarray expression that shows each, strongest first; ``for`` tells which way it speaks."""
    out = []
    # What the cause rests on comes first: classes where labels are to blame, parameters elsewhere.
    order = {
        "rate": 0,
        "memory": 0,
        "batch": 0,
        "state": 1,
        "class": 1 if cause in ("label-noise", "validation-only") else 3,
    }
    for a in sorted(alarms, key=lambda a: (order.get(a.kind, 2), -a.excess))[:12]:
        window = f"iteration=slice({a.onset - gap}, {a.end + gap})"
        name = layer_names[a.place] if a.kind in ("filters", "layer", "shift", "state") else ""
        if a.kind == "rate":
            back = f", back at {a.facts['back']}" if a.facts["back"] is not None else ""
            text = f"the learning rate rose {a.facts['factor']:.3g}-fold at {a.onset}{back}; no schedule declares it"
            expression = f"run.scalars.learning_rate.sel({window})"
        elif a.kind == "state":
            text = f"{name}: {a.facts['count']} of {a.facts['of']} filters {a.what} from {a.onset} on"
            text += "" if a.facts["lasts"] else f" to {a.end}"
            statistic = "nonfinite" if a.what == "non-finite" else "w_rms" if a.what == "exploding" else "g_norm2"
            expression = f"run.filters.{statistic}.sel(layer={name!r}, {window})"
        elif a.kind == "memory":
            text = f"{_ANEW[a.facts['made_of']]} at {a.onset}: only an optimizer without a memory makes such a step"
            expression = f"run.layers.update_norm2.sel({window})"
        elif a.kind == "batch":
            text, expression = _of_batches(a, class_names), f"run.dataset('batches').sel({window})"
        elif a.kind == "class":
            turned = "wrong" if a.what == "loss" else "right"
            text = (
                f"class {class_names[a.place]}: {a.facts['images']} images turned {turned} at the pass of "
                f"{a.facts['at']}, {a.facts['expected']:.1f} expected (score {a.facts['score']:.1f})"
            )
            expression = (
                f'run.dataset("anomalies/validation/{a.facts["view"]}/classes").class_score'
                f'.sel({{"class": {class_names[a.place]!r}}})'
            )
        elif a.kind == "model":
            text = f"{_NAMES[a.what]} jumped by {abs(a.facts['score']):.1f} scales at {a.facts['at']}"
            text += f", up for {a.end - a.onset + 1} records" if a.end > a.onset else ""
            expression = f"run.scalars.{a.what}.sel({window})"
        elif a.kind in ("layer", "shift"):
            text = f"{name}: the whole layer's {_NAMES[a.what]} moved by {_size(a)} scales at {a.facts['at']}"
            if a.kind == "shift":
                text = (
                    f"{name}: the whole layer's {_NAMES[a.what]} left its past from {a.onset} to {a.end}, by little "
                )
                text += f"at a time (known at {a.known_at})"
            group = "filters" if a.what.startswith("bn_") else "layers"
            expression = f"run.{group}.{a.what}.sel(layer={name!r}, {window})"
        else:
            text = (
                f"{name}: {len(a.filters)} of {layer_sizes[a.place]} filters left the rest of their layer, "
                f"{_NAMES[a.what]} by {_size(a)} scales at {a.facts['at']}"
            )
            expression = f"run.filters.{a.what}.sel(layer={name!r}, {window})"
        out.append({"text": text, "expression": expression, "for": _speaks_for(a, cause)})
    if cause in ("bad-batch", "label-noise", "dead-filters", "unknown") and not any(a.kind == "rate" for a in alarms):
        text = "the learning rate did what it did before" if cause != "unknown" else "no rule that has a name fits"
        out.append({"text": text, "expression": "run.scalars.learning_rate", "for": cause != "unknown"})
    return out


def _of_batches(alarm: Alarm, classes: list[str]) -> str:
    count, end = alarm.facts["batches"], alarm.end
    which = f"batches from {alarm.start} to {end}" if count > 1 else f"the batch of {alarm.start}"
    if alarm.what == "crowded":
        return (
            f"{which}: labels of few classes at a time ({alarm.facts['height']:,.0f} deviations from the usual mix)"
        )
    if alarm.what == "repeated":
        return f"{which}: up to {100 * alarm.facts['height']:.0f}% of the images more than once"
    name, instead = (classes[n] if 0 <= n < len(classes) else str(n) for n in (alarm.place, alarm.facts["instead"]))
    text = f"{which}: no image of class {name}, {alarm.facts['expected']:,.0f} expected"
    return text if alarm.what == "gone" else f"{text}, and about as many more of class {instead}"


_ANEW = {
    "gradient": "every layer's update was the same multiple of its gradient",
    "sign": "every weight's update was as large as the learning rate",
}
_NAMES = {
    "loss": "the training loss", "grad_norm": "the gradient norm", "update_angle": "update angle",
    "update_ratio2": "update ratio", "grad_ratio2": "gradient ratio", "w_rms": "weight size", "bn_gamma": "scale γ",
    "bn_beta": "shift β", "bn_running_mean": "running mean", "bn_running_var": "running variance",
}  # fmt: skip


def _size(alarm: Alarm) -> str:
    return (
        f"{abs(alarm.facts['score']):,.0f}" if abs(alarm.facts["score"]) >= 10 else f"{abs(alarm.facts['score']):.1f}"
    )


def _speaks_for(alarm: Alarm, cause: str) -> bool:
    """A class that suffers speaks against nothing; a long upheaval speaks against one bad batch."""
    if cause == "bad-batch" and alarm.kind == "model":
        return alarm.end - alarm.onset < SHORT
    return not (cause == "dead-filters" and alarm.kind == "state" and alarm.what != "dead")
