"""Tables in CSV, which has no types: every row as long as the header, and texts that stay what the file says."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeptracker.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# A number is written in one way: 007, +7 and 7e2 are names. 7.0 is what pandas makes of 7 beside an empty cell.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d*)?", re.ASCII)
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
_NO_NUMBER = ["", "nan", "-nan", "NaN", "-NaN", "NAN", "NA", "N/A", "n/a", "<NA>", "None", "null", "NULL"]
_OPTIONS: dict[str, Any] = {"skipinitialspace": True, "encoding": "utf-8-sig", "index_col": False}


def header(path: Path) -> list[str]:
    """Names of the columns."""
    import pandas as pd

    return list(map(str, pd.read_csv(path, nrows=0, **_OPTIONS).columns))


def read_csv(path: Path, texts: Mapping[str, str]) -> pd.DataFrame:
    """A whole table.

    Parameters
    ----------
    texts : of ``image``, ``target``, ``predicted`` and ``classes`` those that the table has, and its names for them.
        Their cells may be names: only an empty one is missing there, and they become numbers only where every cell
        of a column is written as one. Everything else is numbers, with the usual words for none.

    Raises
    ------
    InputError
        A row has more cells than the header, or fewer: pandas would shift all of them, or fill them up.
    """
    import pandas as pd

    _check_rows(path)
    missing = {name: _NO_NUMBER for name in header(path) if name not in texts.values()}
    types = dict.fromkeys(texts.values(), str)
    table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=missing, **_OPTIONS)
    for name in texts.values():
        table[name] = table[name].str.strip().astype(object)
    if (image := texts.get("image")) is not None and _all_match(_WHOLE, set(table[image])):
        table[image] = table[image].astype("int64")
    answers = {texts[ours]: set(table[texts[ours]]) for ours in ("target", "predicted") if ours in texts}
    numbers = [name for name, cells in answers.items() if _all_match(_NUMBER, _known(cells))]
    if len(numbers) < len(answers) and set.intersection(*map(_known, answers.values())):
        numbers = []  # the digits of one column are among the names of the other
    for name in answers:
        column = table[name]
        if name in numbers:
            table[name] = pd.to_numeric(column.where(~column.str.lower().isin(["", "nan"])))
        else:
            table[name] = column.where(column != "", None)
    return table


def _known(cells: set[str]) -> set[str]:
    return {text for text in cells if text.lower() not in ("", "nan")}


def _all_match(pattern: re.Pattern[str], cells: set[str]) -> bool:
    return all(pattern.fullmatch(text) for text in cells)


def _check_rows(path: Path) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, skipinitialspace=True)
        rows = (row for row in lines if len(row) > 1 or any(map(str.strip, row)))
        columns = len(next(rows, []))
        for row in rows:
            if len(row) != columns:
                raise InputError(
                    f"{path.name}: line {lines.line_num} has {len(row)} cells, but the header has {columns}: give "
                    "every row one cell a column"
                )


__all__ = ["header", "read_csv"]
