"""Tables on disk: what columns they have, and whether they hold answers or scalars."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deeptracker.errors import InputError, MissingExtraError
from deeptracker.ingest.csvfile import header, read_csv
from deeptracker.ingest.foreign import affordable, first_line, understood

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = {".parquet", ".jsonl", ".csv"}

# The names of each column, the first that a table has.
COLUMNS: dict[str, tuple[str, ...]] = {
    "iteration": ("iteration", "iterations", "step", "steps", "global_step", "epoch", "epochs"),
    "image": ("image", "image_id", "id", "ids", "index", "idx", "sample_id", "sample", "images"),
    "predicted": ("predicted", "prediction", "predictions", "pred", "preds", "predicted_class"),
    "logits": ("logits", "scores"),
    "probabilities": ("probabilities", "probs", "probability"),
    "target": ("target", "targets", "label", "labels", "y", "y_true", "true_class", "class"),
    "correct": ("correct",),
    "loss": ("loss", "losses", "nll", "cross_entropy"),
    "confidence": ("confidence",),
    "classes": ("classes", "class_names"),
}
_ANSWERS = ("predicted", "logits", "probabilities", "correct")
_TEXTS = ("image", "target", "predicted", "classes")


def named(columns: Iterable[Hashable]) -> dict[str, str]:
    """Column of ours → the table's name for it."""
    lower = {str(name).lower().strip(): str(name) for name in columns}
    found: dict[str, str] = {}
    for ours, names in COLUMNS.items():
        theirs = next((lower[name] for name in names if name in lower), None)
        if theirs is not None:
            found[ours] = theirs
    return found


def kind_of(path: Path) -> str:
    """``answers``, ``scalars``, ``weights``, or why it is neither; reads names only.

    Raises
    ------
    InputError, MissingExtraError
        The file cannot be read.
    """
    with understood(path.name):
        columns = columns_of(path)
    found = named(columns)
    if any(name in found for name in _ANSWERS):
        if path.suffix.lower() == ".npz" or {"iteration", "image"} <= found.keys():
            return "answers"
        lacking = "image (or id)" if "image" not in found else "iteration (or epoch)"
        return f"a table of answers without a column {lacking}"
    if path.suffix.lower() == ".npz":
        if any(name.endswith(("weight", "weight_v", "weight_orig")) for name in columns):
            return "weights"
        return "holds neither *.weight nor logits, predicted or correct"
    if "iteration" in found:
        return "scalars"
    return "has neither a column iteration (step, epoch) nor answers"


def columns_of(path: Path) -> list[str]:
    """Names of the columns (arrays) of a file."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            with zipfile.ZipFile(path) as file:
                return [name.removesuffix(".npy") for name in file.namelist()]
        if suffix == ".parquet":
            return list(_parquet(path).read_schema(path).names)
        if suffix == ".csv":
            return header(path)
        with path.open(encoding="utf-8") as lines:
            row = json.loads(lines.readline())
        return list(row) if isinstance(row, dict) else []
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name}: cannot be read as {suffix[1:]}: write it again") from None


def _decoded_bytes(metadata: Any) -> int:
    """At least so many bytes is a table of Parquet in memory, however little a run of equal values takes on disk.

    What is said of single columns is not asked for: where that is damaged, pyarrow ends the process.
    """
    return 8 * int(metadata.num_rows) * int(metadata.num_columns)


def _parquet(path: Path) -> Any:
    try:
        import pyarrow.parquet  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise MissingExtraError(f'{path.name}: reading it needs pyarrow: pip install "deeptracker[tables]"') from None
    return pyarrow.parquet


def read_table(path: Path) -> pd.DataFrame:
    """A whole table.

    Raises
    ------
    InputError
        It cannot be read.
    """
    with understood(path.name):
        return _table(path)


def _table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            wanted = list(named(columns_of(path)).values())
            whole = kind_of(path) == "scalars"
            affordable(path, _decoded_bytes(_parquet(path).read_metadata(path)))
            return _parquet(path).read_table(path, columns=None if whole else wanted).to_pandas()
        if path.suffix.lower() == ".jsonl":
            # The file's own types: an id "007" is no number, and a number keeps all its digits.
            return pd.read_json(path, lines=True, dtype=False, precise_float=True)
        found = named(header(path))
        answers = any(name in found for name in _ANSWERS)
        return read_csv(path, {ours: found[ours] for ours in _TEXTS if ours in found} if answers else {})
    except (ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name}: cannot be read ({first_line(error)}): write it again") from None


def columns(content: Mapping[str, Any] | pd.DataFrame) -> dict[str, Any]:
    """Column of ours → its values, of a table or of the arrays of an npz."""
    return {ours: content[theirs] for ours, theirs in named(content).items()}


def counts_epochs(content: Iterable[Hashable]) -> bool:
    """Whether the iterations of a table are epochs."""
    return named(content).get("iteration", "").lower().startswith("epoch")


def stack(values: Any, name: str, what: str) -> np.ndarray[Any, Any]:
    """A column of lists as one array.

    Raises
    ------
    InputError
        The lists are of unequal lengths, or hold more than numbers.
    """
    try:
        return np.stack([np.asarray(value, np.float64).reshape(-1) for value in values])
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{name}: {what} must be lists of numbers, all of one length") from None


__all__ = ["SUFFIXES", "columns", "columns_of", "counts_epochs", "kind_of", "named", "read_table", "stack"]
