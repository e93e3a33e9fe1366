"""What a killed worker leaves of a file is written over, and every name that can be written can be read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeptracker import conform
from deeptracker.errors import InputError
from deeptracker.store import LogWriter, open_run, plausible
from deeptracker.store.arrays import RowFiles
from deeptracker.store.layout import Grid, derived
from deeptracker.store.place import place_of
from deeptracker.store.regions import Region
from deeptracker.store.zarrays import make_array


@pytest.mark.parametrize("left", [0, 1, 40, -1])
def test_half_of_a_file__is_written_over(tmp_path: Path, left: int) -> None:
    grid = derived(Grid((4, 5), (16, 5)))
    array = make_array(place_of(tmp_path / "a"), (10, 5), np.dtype("float32"), float("nan"), grid, ("i", "j"), {})
    values = np.arange(50, dtype=np.float32).reshape(10, 5)
    Region(array).put(0, values)
    (file,) = (path for path in (tmp_path / "a" / "c").rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes()[:left])
    Region(array).put(0, values)
    np.testing.assert_array_equal(RowFiles(tmp_path / "a").read(slice(0, 10), (slice(None),)), values)


@given(st.text(max_size=80))
def test_name_of_a_scalar__that_is_taken_can_be_read(name: str) -> None:
    try:
        conform.variable("scalars", name)
    except InputError:
        return
    assert plausible.name(name) == name


def test_name_with_a_backslash__is_no_path(tmp_path: Path) -> None:
    with LogWriter(tmp_path / "run", background=False) as writer:
        writer.append("scalars", 0, {"loss": 1.0, "a\\b": 2.0})
    assert open_run(tmp_path / "run").scalars["a\\b"].values.tolist() == [2.0]
