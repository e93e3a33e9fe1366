"""What a declaration of the schema consists of: a variable, and a group of variables."""

from __future__ import annotations

from dataclasses import dataclass, field

DIMENSIONS: dict[str, str] = {
    "iteration": "recorded training step, strictly increasing, unevenly spaced",
    "layer": "layer with weights, in order of execution; its coordinate is the module's name",
    "filter": "one output channel of a convolution or one output unit of a linear layer, over all layers",
    "edge": "connection of the graph of layers",
    "end": "the two ends of an edge: from, to",
    "param_group": "parameter group of the optimizer",
    "validation": "pass over a validation set; its coordinate is the training iteration of the pass",
    "image": "validation image; its coordinate is the image's id",
    "class": "class of the images; its coordinate is the class's name",
    "cluster": "cluster of classes, ordered by summed error",
    "event": "what happened to an answer between two passes: n→y, y→n, y→y, n→n",
    "y": "row of a thumbnail",
    "x": "column of a thumbnail",
    "band": "colour band of a thumbnail",
    "sample": "position in the training batch",
    "bin": "bin of a histogram of parameters; its coordinate is the lower edge",
    "threshold": "upper bound of |g/w|; 0 counts the weights that are exactly zero",
    "block": "block of layers (one residual block, say)",
    "stage": "stage of blocks that work at one resolution",
    "iteration_bin": "bin of consecutive records; its coordinate is the first iteration in it",
    "validation_bin": "bin of consecutive passes; its coordinate is the first pass in it",
    "reduction": "min, mean or max over the records of a bin",
    "quantile": "quantile over the filters of a layer",
    "moment": "count, mean, sum of squares about the mean",
    "k": "number of passes for which an answer stays constant",
    "direction": "gain (n→y) or loss (y→n)",
    "rule": "flip (any change), left (after k₀ constant passes), right (then constant for k₀ passes)",
    "signal": "statistic of filters and layers that is watched for anomalies",
    "model_signal": "scalar of the whole training that is watched for anomalies",
    "rank": "place in a ranked list, from 1",
    "state": "dead, frozen, exploding, non-finite, saturated",
    "record": "row of a ragged table",
    "row": "filter within one layer",
    "weight_index": "weight within one filter, flattened",
    "miniset": "set of filters of one layer with the same membership signature",
}


@dataclass(frozen=True, slots=True)
class Variable:
    """One name of the data model.

    Parameters
    ----------
    name, dims, dtype : what the array is called and looks like; ``dtype`` is a NumPy name or ``str``.
    units : physical or counting unit, ``1`` for a plain ratio.
    formula : prose definition with its source, written to the array's attributes.
    optional : may be absent from a group that is otherwise complete.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    units: str
    formula: str
    optional: bool = False

    @property
    def fill(self) -> object:
        """The value of a cell that nothing was written to: NaN, −1, or an empty string."""
        if self.dtype == "str":
            return ""
        if self.dtype.startswith("float"):
            return float("nan")
        return 0 if self.dtype.startswith(("uint", "bool")) else -1


@dataclass(frozen=True, slots=True)
class Group:
    """A set of variables that share their axes; ``<word>`` in the path stands for one free part of it."""

    path: str
    description: str
    variables: tuple[Variable, ...]
    append: str | None = None
    open_to: tuple[str, ...] | None = None
    _index: dict[str, Variable] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {variable.name: variable for variable in self.variables})

    def __getitem__(self, name: str) -> Variable:
        return self._index[name]

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def matches(self, path: str) -> bool:
        """Whether a concrete path falls under this declaration."""
        mine, theirs = self.path.split("/"), path.strip("/").split("/")
        return len(mine) == len(theirs) and all(
            a == b or (a.startswith("<") and bool(b)) for a, b in zip(mine, theirs, strict=True)
        )
