"""Groups of the hierarchical index, the first derived stage."""

from __future__ import annotations

from deeptracker.schema.recorded import STEPS, statistics
from deeptracker.schema.variable import Group, Variable

EVENTS = ("n→y", "y→n", "y→y", "n→n")
REDUCTIONS = ("min", "mean", "max")
BIN_SIZES = (8, 64, 512)
VIEW = "validation/<set>/<weights>"


def _counts(prefix: tuple[str, ...], of: str) -> tuple[Variable, ...]:
    return (
        Variable("evaluated", ("validation", *prefix), "int32", "images", f"images of the {of} with an answer"),
        Variable("accuracy", ("validation", *prefix), "float32", "1", f"share of right answers in the {of}"),
        Variable("loss", ("validation", *prefix), "float32", "nat", f"mean loss of the {of}"),
        Variable("losses", ("validation", *prefix), "int32", "images", f"images of the {of} with a loss"),
        Variable(
            "event_counts",
            ("validation", *prefix, "event"),
            "int32",
            "images",
            f"images of the {of} by what happened since the previous pass; first pass −1",
        ),
    )


_LEVELS = tuple(
    Group(f"index/{level}s", f"statistics of each {level}'s concatenated weights", (*statistics(level), STEPS))
    for level in ("block", "stage")
) + (
    Group(
        "index/model",
        "statistics of all weights together",
        (*(Variable(v.name, v.dims[:1], v.dtype, v.units, v.formula) for v in statistics("layer")), STEPS),
    ),
)

_PYRAMID = tuple(
    Group(
        f"index/{level}s_{size}",
        f"min, mean and max over bins of {size} records, per {level}",
        tuple(
            Variable(
                v.name,
                ("iteration_bin", "reduction", level),
                "float32",
                v.units,
                f"over {size} records: {v.formula}",
            )
            for v in statistics(level)
        )
        + (
            Variable("records", ("iteration_bin",), "int32", "records", "records in the bin"),
            Variable("last", ("iteration_bin",), "int64", "iteration", "last iteration of the bin"),
        ),
    )
    for level in ("filter", "layer", "block", "stage")
    for size in BIN_SIZES
)


def _distributions(level: str) -> Group:
    dims = ("iteration",) if level == "model" else ("iteration", level)
    return Group(
        f"index/{level}_distributions",
        f"distributions of each {level}'s concatenated weights, on the full schedule",
        tuple(
            variable
            for letter, of in (("w", "weights"), ("g", "gradients"))
            for variable in (
                Variable(
                    f"{letter}_hist",
                    (*dims, "bin"),
                    "int64",
                    "count",
                    f"{of} per signed-log bin, of all its layers",
                    optional=True,
                ),
                *(
                    Variable(
                        f"{letter}_{name}",
                        dims,
                        "float32",
                        "1",
                        f"{what} of {of}, off the histogram: in the exact one's bin (1.78-fold; 1e-8 around 0)",
                        optional=True,
                    )
                    for name, what in (("q1", "first quartile"), ("median", "median"), ("q3", "third quartile"))
                ),
            )
        ),
    )


INDEX: tuple[Group, ...] = (
    *_LEVELS,
    *_PYRAMID,
    *(_distributions(level) for level in ("block", "stage", "model")),
    Group(
        "index/layer_quantiles",
        "quantiles over the filters of each layer (0, ¼, ½, ¾, 1)",
        tuple(
            Variable(v.name, ("iteration", "layer", "quantile"), "float32", v.units, f"over filters: {v.formula}")
            for v in statistics("filter")
            if v.name in {"w_rms", "g_rms", "update_angle", "update_ratio2", "grad_ratio2"}
        ),
    ),
    Group(
        f"index/{VIEW}/classes",
        "answers per class",
        (
            *_counts(("class",), "class"),
            Variable("images", ("class",), "int32", "images", "images of the class"),
            Variable("cluster", ("class",), "int8", "index", "cluster of the class: k-means on standardised error"),
            Variable(
                "order",
                ("class",),
                "int32",
                "index",
                "place of the class: one-dimensional MDS on cosine distance",
            ),
        ),
    ),
    *(
        Group(
            f"index/{VIEW}/classes_{size}",
            f"min, mean and max over bins of {size} passes, per class",
            (
                Variable(
                    "accuracy",
                    ("validation_bin", "reduction", "class"),
                    "float32",
                    "1",
                    f"over {size} passes: share of right answers in the class",
                ),
                Variable("records", ("validation_bin",), "int32", "passes", "passes in the bin"),
                Variable("last", ("validation_bin",), "int64", "iteration", "last pass of the bin"),
            ),
        )
        for size in BIN_SIZES
    ),
    Group(f"index/{VIEW}/clusters", "answers per cluster of classes", _counts(("cluster",), "cluster")),
    Group(f"index/{VIEW}/all", "answers of all images", _counts((), "set")),
    Group(
        f"index/{VIEW}/carry",
        "what the passes so far come to, image by image: the index of a longer run begins with it",
        (
            Variable("last", ("image",), "int8", "0 or 1", "last answer, −1 = none yet"),
            Variable("evaluated", ("image",), "int32", "passes", "passes with an answer"),
            Variable("right", ("image",), "int32", "passes", "passes with a right answer"),
            Variable("moments", ("image", "moment"), "float64", "1", "of exp(−loss): count, mean, squares about it"),
        ),
    ),
    Group(
        f"index/{VIEW}/images",
        "the history of each image in single numbers",
        (
            Variable("forgetting_events", ("image",), "int32", "events", "right → wrong (Toneva et al., ICLR 2019)"),
            Variable("first_learned", ("image",), "int32", "pass", "first pass with a right answer, −1 = never"),
            Variable("unforgettable", ("image",), "int8", "0 or 1", "learned and never forgotten (Toneva et al.)"),
            Variable("confidence_mean", ("image",), "float32", "1", "mean of exp(−loss) (Swayamdipta et al. 2020)"),
            Variable(
                "confidence_std",
                ("image",),
                "float32",
                "1",
                "deviation of exp(−loss) (Swayamdipta et al. 2020)",
            ),
            Variable("correctness", ("image",), "float32", "1", "share of passes with a right answer"),
            Variable("order", ("image",), "int32", "index", "place of the image inside its class, by correctness"),
        ),
    ),
)

__all__ = ["BIN_SIZES", "EVENTS", "INDEX", "REDUCTIONS", "VIEW"]
