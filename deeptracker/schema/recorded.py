"""Groups that a recording (or an ingest) writes."""

from __future__ import annotations

from deeptracker.schema.variable import Group, Variable

LIU = "Liu et al. 2018, doi:10.1145/3200489"

_MOMENTS = (
    ("min", "smallest value"),
    ("max", "largest value"),
    ("mean", "mean"),
    ("std", "population standard deviation"),
    ("norm1", "sum of absolute values"),
    ("norm2", "Euclidean norm"),
    ("rms", "Euclidean norm / sqrt(number of values)"),
    ("zero_fraction", "share of exact zeros"),
)


def statistics(axis: str) -> tuple[Variable, ...]:
    """The standard set, per filter or per layer: the same names and formulas on another axis."""
    dims = ("iteration", axis)

    def real(name: str, units: str, formula: str) -> Variable:
        return Variable(name, dims, "float32", units, formula)

    def said(short: str) -> str:
        return "NaN and ±Inf count as others" if short == "zero_fraction" else "finite values only"

    moments = tuple(
        real(f"{letter}_{short}", "1", f"{text} of the {what}; {said(short)} ({LIU})")
        for letter, what in (("w", "weights"), ("g", "gradients"))
        for short, text in _MOMENTS
    )
    return (
        *moments,
        real("grad_ratio1", "1", f"‖g‖₁ / ‖w‖₁ ({LIU})"),
        real("grad_ratio2", "1", f"‖g‖₂ / ‖w‖₂ ({LIU})"),
        real("update_norm1", "1", f"‖Δw‖₁, Δw since the previous record ({LIU})"),
        real("update_norm2", "1", f"‖Δw‖₂, Δw since the previous record ({LIU})"),
        real("update_ratio1", "1", f"‖Δw‖₁ / ‖w_prev‖₁ ({LIU})"),
        real("update_ratio2", "1", f"‖Δw‖₂ / ‖w_prev‖₂; about 1e-3 a step by the practitioner's rule ({LIU})"),
        real("update_cosine", "1", f"cos(w, w_prev) ({LIU})"),
        real("update_angle", "rad", "2·asin(½‖ŵ − ŵ_prev‖), ŵ = w/‖w‖ (Wan et al., NeurIPS 2021)"),
        real("rotation_from_init", "rad", "angle(w, w at construction) (Carbonnelle & De Vleeschouwer 2018)"),
        Variable("nonfinite", dims, "int32", "count", "NaN or ±Inf among weights and gradients"),
    )


_NORMALISATION = tuple(
    Variable(
        f"bn_{short}",
        ("iteration", "filter"),
        "float32",
        "1",
        f"{text} of the normalisation after the filter",
    )
    for short, text in (
        ("gamma", "scale"),
        ("beta", "shift"),
        ("running_mean", "running mean"),
        ("running_var", "running variance"),
    )
)

STEPS = Variable("steps", ("iteration",), "int64", "optimizer steps", "steps since the previous row of this group")


def _quartiles(axis: str) -> tuple[Variable, ...]:
    return tuple(
        Variable(f"{letter}_{short}", ("iteration", axis), "float32", "1", f"{text} of the {what} ({LIU})")
        for letter, what in (("w", "weights"), ("g", "gradients"))
        for short, text in (("q1", "first quartile"), ("median", "median"), ("q3", "third quartile"))
    )


def _activations(axis: str) -> tuple[Variable, ...]:
    return tuple(
        Variable(
            f"act_{short}",
            ("iteration", axis),
            "float32",
            "1",
            f"{text} of the activations over the probe batch",
        )
        for short, text in (
            ("mean", "mean"),
            ("std", "standard deviation"),
            ("zero_fraction", "share of exact zeros"),
        )
    )


def _of_layer(name: str, dtype: str, units: str, text: str, optional: bool = False) -> Variable:
    return Variable(name, ("layer",), dtype, units, text, optional)


ARCHITECTURE = Group(
    "architecture",
    "the network: layers with weights in order of execution, their filters, their connections",
    (
        _of_layer("type", "str", "", "class of the module"),
        _of_layer("block", "str", "", "name of the block that the layer belongs to"),
        _of_layer("stage", "str", "", "name of the stage that the layer belongs to"),
        _of_layer("kernel", "str", "", "kernel shape, as in 3×3; empty for linear layers"),
        _of_layer("stride", "str", "", "stride, as in 2×2; empty for linear layers"),
        _of_layer("parameters", "int64", "count", "number of weights, biases left out"),
        _of_layer("first_filter", "int32", "index", "position of the layer's first filter on the filter axis"),
        _of_layer("filters", "int32", "count", "number of filters of the layer"),
        _of_layer("normalisation", "str", "", "name of the normalisation that follows, or empty"),
        _of_layer("activation", "str", "", "class of the nonlinearity that follows, or empty"),
        _of_layer("lr_group", "int32", "index", "parameter group of the optimizer, −1 where none"),
        _of_layer("init_norm2", "float64", "1", "Euclidean norm of the weights at construction"),
        Variable("filter_layer", ("filter",), "int32", "index", "position of the filter's layer on the layer axis"),
        Variable("filter_channel", ("filter",), "int32", "index", "output channel within the layer"),
        Variable("edges", ("edge", "end"), "int32", "index", "layers that feed one another"),
    ),
)

SCALARS = Group(
    "scalars",
    "one row per call of step(): everything that is a single number",
    (
        Variable("loss", ("iteration",), "float64", "1", "training loss as given"),
        Variable("learning_rate", ("iteration", "param_group"), "float64", "1", "as the optimizer's groups say"),
        Variable("grad_norm", ("iteration",), "float64", "1", "Euclidean norm of all gradients, at filter records"),
        STEPS,
        Variable("step_skipped", ("iteration",), "int8", "0 or 1", "the optimizer did not step (scaler or guard)"),
        Variable("epoch", ("iteration",), "float64", "1", "epoch as logged by the user", optional=True),
        Variable("samples", ("iteration",), "float64", "count", "samples seen as logged by the user", optional=True),
        Variable("wall_time", ("iteration",), "float64", "s", "seconds since 1970-01-01 UTC"),
        Variable("recorder_seconds", ("iteration",), "float64", "s", "time the recorder took at this step"),
    ),
    append="iteration",
    open_to=("iteration",),
)

RECORDED: tuple[Group, ...] = (
    ARCHITECTURE,
    SCALARS,
    Group(
        "filters/dense",
        "standard statistics per filter",
        (*statistics("filter"), *_NORMALISATION, STEPS),
        "iteration",
    ),
    Group(
        "layers/dense",
        "the same of each layer's concatenated weights",
        (*statistics("layer"), STEPS),
        "iteration",
    ),
    Group("filters/full", "quartiles per filter, on the full schedule", _quartiles("filter"), "iteration"),
    Group(
        "layers/full",
        "quartiles and distributions per layer, on the full schedule",
        (
            *_quartiles("layer"),
            Variable("w_hist", ("iteration", "layer", "bin"), "int32", "count", "weights per signed-log bin"),
            Variable("g_hist", ("iteration", "layer", "bin"), "int32", "count", "gradients per signed-log bin"),
            Variable(
                "change_ratio_cdf",
                ("iteration", "layer", "threshold"),
                "float32",
                "1",
                f"share of weights with |g/w| ≤ threshold; at threshold 0: share with w = 0 ({LIU})",
            ),
            Variable("stable_rank", ("iteration", "layer"), "float32", "1", "‖W‖_F² / ‖W‖₂², by power iteration"),
        ),
        "iteration",
    ),
    Group("filters/probe", "activations per filter on a fixed probe batch", _activations("filter"), "iteration"),
    Group("layers/probe", "activations per layer on a fixed probe batch", _activations("layer"), "iteration"),
    Group(
        "initial/<number>",
        "weights of one layer at construction",
        (Variable("weight", ("row", "weight_index"), "float32", "1", "weights, one row a filter"),),
    ),
    Group(
        "weights/<number>",
        "raw weights and gradients of one layer, where asked for",
        (
            Variable("weight", ("iteration", "row", "weight_index"), "float32", "1", "weights, one row a filter"),
            Variable(
                "gradient",
                ("iteration", "row", "weight_index"),
                "float32",
                "1",
                "gradients, as the optimizer has them",
            ),
        ),
        "iteration",
    ),
    Group(
        "batches",
        "ids and labels of the training batch, where given",
        (
            Variable("batch_ids", ("iteration", "sample"), "int64", "", "id of each sample, −1 past the end"),
            Variable("batch_labels", ("iteration", "sample"), "int32", "", "label of each sample, −1 past the end"),
        ),
        "iteration",
    ),
    Group(
        "images/<set>",
        "the images of a validation set, sorted by class",
        (
            Variable("target", ("image",), "int32", "class index", "true class; −1 where there is none"),
            Variable(
                "position", ("image",), "int32", "index", "place in the order in which the user gives the images"
            ),
            Variable("thumbnail", ("image", "y", "x", "band"), "uint8", "", "small picture", optional=True),
        ),
    ),
    Group(
        "validation/<set>/<weights>",
        "answers of every validation pass, per image",
        (
            Variable("predicted", ("validation", "image"), "int16", "class index", "answer; −1 = not evaluated"),
            Variable("correct", ("validation", "image"), "int8", "0 or 1", "answer is right; −1 = not evaluated"),
            Variable("loss", ("validation", "image"), "float16", "nat", "cross-entropy; confidence = exp(−loss)"),
        ),
        "validation",
    ),
)
