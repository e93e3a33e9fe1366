"""Parts of shards read by their inner chunks: the numbers that Zarr reads, every damage noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.errors import DamagedRunError
from deeptracker.store import LogWriter, layout
from deeptracker.store.arrays import RowFiles

SHAPE = (300, 40)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SHARD_ROWS", (16, 16))
        patch.setattr(layout, "INNER", (8, 12))
        yield


@pytest.fixture(scope="module")
def array(small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 rows of 40 numbers in shards of 16 rows, the last one begun."""
    path = tmp_path_factory.mktemp("inner") / "run"
    values = np.random.default_rng(0).integers(0, 2, (SHAPE[0], 2, SHAPE[1]))
    with LogWriter(path, background=False) as writer:
        writer.coordinates("validation/v/raw", {"image": np.arange(SHAPE[1])})
        for number, (right, said) in enumerate(values):
            row = {"correct": right.astype(np.int8), "predicted": said.astype(np.int16)}
            writer.append("validation/v/raw", number, {**row, "loss": right.astype(np.float16)})
        writer.flush()
    return path / layout.LOG / "validation/v/raw/predicted"


@given(
    rows=st.tuples(st.integers(0, 287), st.integers(1, 60)),
    columns=st.tuples(st.integers(0, 39), st.integers(1, 40)),
)
@settings(max_examples=60, deadline=None)
def test_part__is_what_zarr_reads(array: Path, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    files = RowFiles(array)
    assert files.described.packing == "numbers"
    here = slice(rows[0], min(rows[0] + rows[1], files.shape[0]))
    part = slice(columns[0], min(columns[0] + columns[1], SHAPE[1]))
    want = zarr.open_array(array, mode="r")[here, part]
    np.testing.assert_array_equal(files.read(here, (part,)), want)


def test_part__a_flipped_byte_is_noticed_where_it_is_read(array: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(array, tmp_path / "copy"))
    file = RowFiles(copy).file(2)
    content = bytearray(file.read_bytes())
    content[10] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedRunError, match="checksum of a chunk"):
        RowFiles(copy).read(slice(32, 48), (slice(0, 5),))
    content[10] ^= 1
    content[-8] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedRunError, match="index"):
        RowFiles(copy).read(slice(32, 48), (slice(0, 5),))
    file.unlink()
    with pytest.raises(DamagedRunError, match="missing"):
        RowFiles(copy).read(slice(0, 160), (slice(0, 5),))
