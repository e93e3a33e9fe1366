"""Groups that the analysis writes. A path here is what readers use; on disk a version number follows the stage."""

from __future__ import annotations

from deeptracker.schema.indexed import INDEX, VIEW
from deeptracker.schema.variable import Group, Variable

DIRECTIONS = ("gain", "loss")
RULES = ("flip", "left", "right")
SIGNALS = (
    "update_angle",
    "update_ratio2",
    "grad_ratio2",
    "w_rms",
    "bn_gamma",
    "bn_beta",
    "bn_running_mean",
    "bn_running_var",
)
MODEL_SIGNALS = ("loss", "grad_norm")
STATES = ("dead", "frozen", "exploding", "non-finite", "saturated")

_PASS = ("validation", "class")

ANOMALIES: tuple[Group, ...] = (
    *(
        Group(
            f"anomalies/{level}s",
            f"calibrated score of every {level}: the signal that comes closest to its alarm level",
            (
                Variable(f"{level}_score", ("iteration", level), "float32", "scales", "residual / scale, signed"),
                Variable(f"{level}_signal", ("iteration", level), "int8", "index", "its signal; −1 = no score yet"),
                Variable(
                    f"{level}_excess",
                    ("iteration", level),
                    "float32",
                    "alarm levels",
                    "|score| / alarm level of its signal; ≥ 1 is an alarm; NaN = uncalibrated",
                ),
            ),
        )
        for level in ("filter", "layer")
    ),
    Group(
        "anomalies/iterations",
        "what the whole net did, and the levels above which a score is an alarm",
        (
            Variable("filter_level", ("iteration", "signal"), "float32", "scales", "alarm level; NaN = uncalibrated"),
            Variable("layer_level", ("iteration", "signal"), "float32", "scales", "alarm level; NaN = uncalibrated"),
            *(
                Variable(
                    f"{of}_maximum", ("iteration", "signal"), "float32", "scales", f"largest |score|, any {of}", True
                )
                for of in ("filter", "layer")
            ),
            Variable("model_score", ("iteration", "model_signal"), "float32", "scales", "residual / scale, signed"),
            Variable("model_level", ("iteration", "model_signal"), "float32", "scales", "its alarm level"),
            Variable(
                "iteration_score",
                ("iteration",),
                "float32",
                "alarm levels",
                "largest excess of all; NaN = uncalibrated",
            ),
        ),
    ),
    Group(
        "anomalies/lowest_cosine",
        "the original's rule: ten filters of the net with the lowest update_cosine",
        (
            Variable("filter", ("iteration", "rank"), "int32", "index", "position on the filter axis"),
            Variable("update_cosine", ("iteration", "rank"), "float32", "1", "its cosine"),
        ),
    ),
    Group(
        "anomalies/states",
        "when a filter entered and left a state",
        (
            Variable("onset", ("state", "filter"), "int64", "iteration", "first record in the state, −1 = never"),
            Variable("end", ("state", "filter"), "int64", "iteration", "first record out of it, −1 = lasts"),
        ),
    ),
    Group(
        f"anomalies/{VIEW}/classes",
        "left and right rule, gains and losses apart, and the calibrated class score",
        (
            Variable("left", (*_PASS, "k", "direction"), "int32", "images", "flips after ≥ k constant passes"),
            Variable("right", (*_PASS, "k", "direction"), "int32", "images", "flips, then constant for ≥ k passes"),
            Variable("final", ("validation", "k"), "int8", "0 or 1", "right rule is final: k−1 later passes exist"),
            Variable(
                "class_score",
                (*_PASS, "direction", "rule"),
                "float32",
                "scales",
                "calibrated; NaN = too little history",
            ),
            Variable("class_level", ("validation",), "float32", "scales", "alarm level; NaN = uncalibrated"),
        ),
    ),
    Group(
        "anomalies/events",
        "ranked events and labels; each document is one event of the JSON format",
        (
            Variable("document", ("record",), "str", "", "JSON text of one event"),
            Variable("rank", ("record",), "int32", "rank", "1 = strongest"),
            Variable("iteration", ("record",), "int64", "iteration", "onset"),
        ),
    ),
)


def _minisets(name: str, words: str) -> tuple[Group, ...]:
    path = f"correlation/{VIEW}/{name}"
    return (
        Group(
            f"{path}s",
            words,
            (
                Variable("layer", ("miniset",), "int32", "index", "layer of the filters"),
                Variable("size", ("miniset",), "int32", "filters", "number of filters"),
                Variable("cells", ("miniset",), "int32", "cells", "number of (class, iteration) cells"),
            ),
        ),
        Group(
            f"{path}_cells",
            "cells of each of them",
            (
                Variable("miniset", ("record",), "int32", "index", "the mini-set"),
                Variable("class_index", ("record",), "int32", "index", "class of the cell"),
                Variable("iteration", ("record",), "int64", "iteration", "pass of the cell"),
            ),
        ),
        Group(
            f"{path}_filters",
            "filters of each of them",
            (
                Variable("miniset", ("record",), "int32", "index", "the mini-set"),
                Variable("filter", ("record",), "int32", "index", "position on the filter axis"),
            ),
        ),
    )


CORRELATION: tuple[Group, ...] = (
    Group(
        f"correlation/{VIEW}/passes",
        "top face: classes that the left or right rule marks at a pass",
        (
            Variable("abnormal", _PASS, "int8", "0 or 1", "left or right count ≥ threshold"),
            Variable("count", _PASS, "int32", "images", "larger of left and right count"),
            Variable("kept", ("class",), "int8", "0 or 1", "class has at least two abnormal passes"),
        ),
    ),
    Group(
        f"correlation/{VIEW}/front",
        "front face: anomalous filters of a layer between the previous pass and this one",
        (
            Variable("filters", ("validation", "layer"), "int32", "filters", "anomalous filters in the window"),
            Variable("score", ("validation", "layer"), "float32", "scales", "largest |filter_score| in the window"),
        ),
    ),
    Group(
        f"correlation/{VIEW}/side",
        "right face: layer × class",
        (
            Variable(
                "union",
                ("layer", "class"),
                "int32",
                "filters",
                "union of anomalous filters over abnormal passes",
            ),
            Variable(
                "expected",
                ("layer", "class"),
                "float32",
                "filters",
                "union expected at the same number of passes",
            ),
            Variable("ratio", ("layer", "class"), "float32", "1", "observed / expected"),
            Variable(
                "link",
                ("layer", "class"),
                "float32",
                "1",
                "passes at which both are abnormal, standardised by permutation within strata",
            ),
            Variable("p", ("layer", "class"), "float32", "1", "of the link, corrected for all links"),
        ),
    ),
    *_minisets("miniset", "filters of one layer that are anomalous in the same (class, iteration) cells"),
    *_minisets("tolerant_miniset", "filters of one layer that share at least 80% of their (class, iteration) cells"),
)

DERIVED: tuple[Group, ...] = INDEX + ANOMALIES + CORRELATION
PROVEN = 0.05
"""Links of a layer and a class with a larger ``p`` are hidden unless asked for."""
STAGES = ("index", "anomalies", "correlation")

__all__ = [
    "ANOMALIES",
    "CORRELATION",
    "DERIVED",
    "DIRECTIONS",
    "MODEL_SIGNALS",
    "PROVEN",
    "RULES",
    "SIGNALS",
    "STAGES",
    "STATES",
]
