"""Statistics as a flat table, with the unit of every column: Parquet or CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deeptracker.errors import InputError, MissingExtraError
from deeptracker.export.target import written
from deeptracker.screen import opened, rows, sizes

ROWS = 1_000_000


def table(run: Any, path: str | Path, *, group: str | None = None) -> Path:
    """Write a group as a table: one row per iteration and layer (or filter, image …), one column per statistic.

    Units stand in the metadata of each Parquet column (``units``, ``formula``), in CSV behind the name.
    Blocks of about a million rows are read and written at a time. NaN stay NaN (CSV: empty).

    Parameters
    ----------
    run : an opened run.
    path : file ending in ``.parquet`` or ``.csv``.
    group : any group of the run; variables with further axes than its first two are left out, unless all have (a
        bin's min, mean and max of each filter). Default: statistics of layers, of a run without them its answers,
        else its scalars.

    Returns
    -------
    The file.

    Raises
    ------
    InputError : another ending, or a group without rows.
    MissingGroupError : the run lacks the group.
    MissingExtraError : Parquet without pyarrow.
    """
    target = Path(path).expanduser()
    kind = target.suffix.lower()
    if kind not in (".parquet", ".csv"):
        raise InputError(f"{target}: a table ends in .parquet or .csv")
    group = group or _telling(run)
    dataset = opened(run, group)
    # An axis without entries (the learning rates of a run that knows none) takes only its own variables away.
    filled = [v.dims for v in dataset.data_vars.values() if v.size]
    longest = max(filled, key=len, default=())
    # Where none has just the first two (a bin's min, mean and max of each filter), a row has a label of each axis.
    dims = longest if longest[:2] not in filled else longest[:2]
    names = [str(n) for n, v in dataset.data_vars.items() if set(v.dims) <= set(dims) and v.dims]
    if not names or any(dataset.sizes[d] == 0 for d in dims):
        raise InputError(f"{run.path}: {group} has no rows to export")
    with written(target) as aside:
        blocks = _blocks(run, group, names, tuple(map(str, dims)))
        (_parquet if kind == ".parquet" else _csv)(blocks, dataset[names], aside)
    return target


def _telling(run: Any) -> str:
    """The group that a run is exported as by default."""
    wanted = ["layers/dense", *(f"validation/{view}" for view in run.validation_sets), "scalars"]
    return next((group for group in wanted if run.has(group)), wanted[0])


def _blocks(run: Any, group: str, names: list[str], dims: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """The table in pieces along its first axis."""
    size = sizes(run, group)
    width = int(np.prod([size[d] for d in dims[1:]], dtype=np.int64))
    step = max(1, ROWS // max(width, 1))
    for start in range(0, size[dims[0]], step):
        part = rows(run, group, names, dims[0], start, start + step)
        yield part.to_dataframe(dim_order=list(dims)).reset_index()[_columns(part, dims)]


def _columns(part: xr.Dataset, dims: tuple[str, ...]) -> list[str]:
    """Labels first: the axes (of filters: layer and channel), then the statistics."""
    labels: list[str] = []
    for dim in dims:
        labels += [str(n) for n in part.indexes[dim].names] if dim in part.indexes else [dim]
    return [*labels, *(str(name) for name in part.data_vars)]


def _csv(blocks: Iterable[pd.DataFrame], dataset: xr.Dataset, path: Path) -> None:
    for number, frame in enumerate(blocks):
        titles = [_title(dataset, name) for name in frame.columns]
        frame.to_csv(path, mode="a" if number else "w", header=False if number else titles, index=False)


def _title(dataset: xr.Dataset, name: str) -> str:
    units = str(dataset[name].attrs.get("units", "")) if name in dataset else ""
    return f"{name} [{units}]" if units not in ("", "1") else name


def _parquet(blocks: Iterable[pd.DataFrame], dataset: xr.Dataset, path: Path) -> None:
    try:
        import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
        import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise MissingExtraError('Parquet needs pyarrow: pip install "deeptracker[tables]", or export .csv') from None
    writer = None
    try:
        for frame in blocks:
            piece = pa.Table.from_pandas(_plain(frame), preserve_index=False)
            fields = [
                field.with_metadata(
                    {key: str(dataset[field.name].attrs.get(key, "")) for key in ("units", "formula")}
                )
                if field.name in dataset.data_vars
                else field
                for field in piece.schema
            ]
            piece = piece.cast(pa.schema(fields))
            writer = writer or pq.ParquetWriter(path, piece.schema)
            writer.write_table(piece)
    finally:
        if writer is not None:
            writer.close()


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Names as plain text, whichever kind of string they came as."""
    return frame.assign(**{str(n): frame[n].astype(str) for n in frame.columns if frame[n].dtype == object})
