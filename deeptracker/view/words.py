"""What the views say: names of causes, places, numbers and statistics in words that need no manual."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape, unescape
from typing import Any

CAUSES = {
    "dead": "Dead filters",
    "dead-filters": "Dead filters",
    "frozen": "Frozen layer",
    "frozen-layer": "Frozen layer",
    "exploding": "Exploding weights",
    "non-finite": "NaN or infinite values",
    "saturated": "Saturated filters",
    "bad-batch": "Bad batch",
    "label-flip": "Labels flipped",
    "lr-spike": "Learning-rate spike",
    "lr-drop": "Learning-rate drop",
    "lr-rise": "Learning-rate rise",
    "lr-change": "Likely learning-rate change",
    "label-noise": "Wrong labels",
    "frozen-filters": "Frozen filters",
    "decay-or-normalisation": "Decay or normalisation fault",
    "data-order": "Order of the data",
    "missing-class": "A class was missing",
    "state-lost": "Optimizer state lost",
    "restart": "Learning-rate restart",
    "lr-restart": "Learning-rate restart",
    "validation-only": "Validation data changed",
    "unknown": "Unusual change",
}

STATISTICS = {
    "update_angle": "how far each filter turned",
    "update_ratio2": "size of the update relative to the weights",
    "update_ratio1": "size of the update relative to the weights (L1)",
    "update_norm2": "size of the update",
    "grad_ratio2": "size of the gradient relative to the weights",
    "g_rms": "size of the gradient",
    "g_norm2": "norm of the gradient",
    "w_rms": "size of the weights",
    "w_norm2": "norm of the weights",
    "w_mean": "mean of the weights",
    "w_min": "smallest weight",
    "w_max": "largest weight",
    "w_norm1": "absolute sum of the weights",
    "w_zero_fraction": "share of weights that are zero",
    "g_mean": "mean of the gradient",
    "g_std": "spread of the gradient",
    "g_min": "smallest gradient",
    "g_max": "largest gradient",
    "g_norm1": "absolute sum of the gradient",
    "g_zero_fraction": "share of gradients that are zero",
    "grad_ratio1": "size of the gradient relative to the weights (L1)",
    "update_norm1": "size of the update (L1)",
    "update_cosine": "cosine between weights and those before",
    "nonfinite": "values that are NaN or infinite",
    "w_q1": "first quartile of the weights",
    "w_median": "median of the weights",
    "w_q3": "third quartile of the weights",
    "g_q1": "first quartile of the gradient",
    "g_median": "median of the gradient",
    "g_q3": "third quartile of the gradient",
    "filter_excess": "how far each filter's score is above the alarm level",
    "stable_rank": "stable rank of the weights",
    "w_std": "spread of the weights",
    "rotation_from_init": "angle from the initial weights",
    "bn_gamma": "scale of the normalisation",
    "bn_beta": "shift of the normalisation",
    "bn_running_mean": "running mean of the normalisation",
    "bn_running_var": "running variance of the normalisation",
    "act_std": "spread of the activations",
    "act_mean": "mean of the activations",
    "act_zero_fraction": "share of activations that are zero",
    "filter_score": "anomaly score of each filter",
}


def cause(code: str) -> str:
    """A cause in words: ``lr-spike`` → "Learning-rate spike"; an unlisted code is read out as it is."""
    plain = code.strip().lower().replace("_", "-").replace(" ", "-")
    return CAUSES.get(plain) or (code.replace("-", " ").replace("_", " ").strip() or "unknown").capitalize()


def statistic(name: str) -> str:
    """A statistic in words; the name itself where there are none."""
    return STATISTICS.get(name, name)


def with_unit(name: str, units: str) -> str:
    """``update_angle`` and ``rad`` → "update_angle [rad]"; a plain ratio has no bracket."""
    return f"{name} [{units}]" if units not in ("", "1") else name


def html(text: str) -> str:
    """Any text as HTML that shows it as it is."""
    return escape(text)


def plain(markup: str) -> str:
    """A sentence without its markup."""
    return unescape(re.sub(r"<[^>]+>", "", markup))


def number(value: float) -> str:
    """Three digits, thousands separated."""
    if value != value:
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def class_name(name: str) -> str:
    """A class as a row's name: "class 7" for a bare number, "cat" as it is."""
    return f"class {name}" if name.replace(".", "").isdigit() else name


def count(amount: int, noun: str) -> str:
    """``count(1, "filter")`` → "1 filter", ``count(1200, "pass")`` → "1,200 passes"."""
    plural = noun + ("es" if noun.endswith(("s", "x", "ch")) else "s")
    return f"{amount:,} {noun if amount == 1 else plural}"


def some(names: Sequence[Any], most: int = 2) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def where(event: Mapping[str, Any]) -> str:
    """Layers, filters and classes of an event in one line."""
    parts = []
    if event.get("layers"):
        parts.append(("layer " if len(event["layers"]) == 1 else "layers ") + some(event["layers"]))
    if event.get("filters"):
        parts.append(count(len(event["filters"]), "filter"))
    if event.get("classes"):
        names = [str(name).removeprefix("class ") for name in event["classes"]]
        parts.append(("class " if len(names) == 1 else "classes ") + some(names, 4))
    if event.get("images"):
        parts.append(count(len(event["images"]), "image"))
    return " · ".join(parts) or "the whole net"


def when(event: Mapping[str, Any]) -> str:
    """The iterations of an event."""
    start, end = int(event["iteration"]), event.get("end")
    return f"{start:,}" if end is None or int(end) <= start else f"{start:,} – {int(end):,}"


def false_rate(event: Mapping[str, Any]) -> str:
    """How often such an alarm is false, for somebody who never heard of false discovery rates."""
    rate = event.get("false_per_1000")
    if rate is None:
        return "not calibrated: too little history to say how often such an alarm is false"
    if rate <= 0:
        return "chance alone would not do this"
    often = 1000 / rate
    if often >= 1e6:
        return "chance does this less than once in a million iterations"
    digits = 10 ** max(0, len(str(int(often))) - 2)
    return f"chance does this about once in {round(often / digits) * digits:,.0f} iterations"
