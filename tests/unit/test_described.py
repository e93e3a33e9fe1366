"""Metadata of arrays read as plain JSON: what Zarr says of them, and Zarr is asked where they are of another form."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import GzipCodec
from zarr.core.metadata.v3 import ArrayV3Metadata

from deeptracker import screen
from deeptracker.errors import DamagedRunError
from deeptracker.store import Run, open_run, verify
from deeptracker.store.arrays import RowFiles, row_files
from deeptracker.store.described import Description, describe, of_zarr

FIELDS = ("shape", "dtype", "dims", "attributes", "chunks", "shards", "file_shape")


def documents(run: Run) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every array of a run, and its metadata."""
    for path in sorted(Path(run.path).rglob("zarr.json")):
        document = json.loads(path.read_bytes())
        if document["node_type"] == "array":
            yield path.parent, document


def assert_same(one: Description, other: Description) -> None:
    for name in FIELDS:
        assert getattr(one, name) == getattr(other, name), name
    assert type(one.fill) is type(other.fill)
    assert one.fill == other.fill or (math.isnan(one.fill) and math.isnan(other.fill))
    assert json.dumps(one.metadata.to_dict()) == json.dumps(other.metadata.to_dict())


def test_description__of_every_array_of_a_run_is_zarrs(analysed: Run) -> None:
    kinds = set()
    for folder, document in documents(analysed):
        described = describe(copy.deepcopy(document))
        assert not isinstance(described.source, ArrayV3Metadata), folder  # read as plain JSON
        wanted = of_zarr(ArrayV3Metadata.from_dict(document))
        assert_same(described, wanted)
        assert described.packing == (wanted.packing or "texts")
        kinds.add((described.dtype.str, described.shards is not None))
    assert len(kinds) > 8


def changed(document: Any) -> Iterator[Any]:
    """The document with something in it replaced or left out."""
    if isinstance(document, dict | list):
        for key in document if isinstance(document, dict) else range(len(document)):
            for other in changed(document[key]):
                yield _put(document, key, other)
            fewer = copy.copy(document)
            del fewer[key]
            yield fewer
    for value in (None, "x", "NaN", 0, -1, 5, 1.5, True, [], {}, [1], ["x"]):
        if value != document:
            yield value


def _put(document: Any, key: Any, value: Any) -> Any:
    more = copy.copy(document)
    more[key] = value
    return more


@pytest.mark.parametrize("name", ["filters/dense/w_rms", "architecture/filters", "architecture/layer"])
def test_description__of_damaged_metadata_is_never_one_that_zarr_would_not_give(analysed: Run, name: str) -> None:
    document = json.loads((analysed.path / "log.zarr" / name / "zarr.json").read_bytes())
    broken_ones, refused = [one for one in changed(document) if isinstance(one, dict)], 0
    for broken in broken_ones:
        try:
            wanted = of_zarr(ArrayV3Metadata.from_dict(copy.deepcopy(broken)))
        except Exception as error:
            refused += 1
            with pytest.raises(type(error)):
                describe(copy.deepcopy(broken))
            continue
        assert_same(describe(broken), wanted)
    assert refused > len(broken_ones) / 3 > 30


def test_array__packed_in_another_way_is_read_through_zarr(tmp_path: Path) -> None:
    values = np.arange(600, dtype=np.float32).reshape(60, 10)
    array = zarr.create_array(
        tmp_path / "array", shape=(60, 10), chunks=(20, 10), dtype="float32", compressors=GzipCodec()
    )
    array[:] = values
    files = RowFiles(tmp_path / "array")
    assert files.described.packing is None
    np.testing.assert_array_equal(files.read(slice(15, 45), (slice(2, 5),)), values[15:45, 2:5])


def test_opening__makes_no_object_of_zarrs(analysed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    row_files.cache_clear()
    screen.forget()

    def refused(*_: Any) -> None:
        raise AssertionError("Zarr's metadata object was made")

    monkeypatch.setattr(ArrayV3Metadata, "from_dict", refused)
    run = open_run(analysed.path)
    groups = [run.dataset(group) for group in run.groups]
    assert sum(len(group.variables) for group in groups) > 300


def test_texts__are_those_that_zarr_reads(analysed: Run) -> None:
    texts = [(folder, document) for folder, document in documents(analysed) if document["data_type"] == "string"]
    assert len(texts) > 10
    for folder, document in texts:
        shape = tuple(document["shape"])
        if 0 in shape:
            continue
        got = RowFiles(folder).read(slice(0, shape[0]), tuple(slice(None) for _ in shape[1:]))
        wanted = zarr.open_array(folder, mode="r")[...]
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


def test_texts__a_flipped_bit_is_noticed(recorded: Run, tmp_path: Path) -> None:
    path = Path(shutil.copytree(recorded.path, tmp_path / "run"))
    row_files.cache_clear()
    file = path / "log.zarr/architecture/layer/c/0"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    with pytest.raises(DamagedRunError, match="architecture/layer is damaged"):
        open_run(path).dataset("architecture")
    assert [(f.group, f.variable) for f in verify(path)] == [("architecture", "layer")]
