"""The file that a copy of a table is: whatever it holds, it is the files of one table or is refused."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.errors import DamagedRunError
from deeptracker.store.copies import pack, unpack

_PACKED = pack({"zarr.json": b"{}", "layer/zarr.json": b"{}", "layer/c/0": bytes(range(200))})


@given(st.binary(max_size=400), st.booleans())
@settings(max_examples=300)
def test_copy_of_any_bytes__is_refused_in_our_words(content: bytes, after_a_zip: bool) -> None:
    with suppress(DamagedRunError):
        assert all(isinstance(one, bytes) for one in unpack(_PACKED + content if after_a_zip else content).values())


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", ".", "", "a/\0b", "a/b", "a/c/x"])
def test_copy_that_leads_out_of_its_folder__is_refused(name: str) -> None:
    with pytest.raises(DamagedRunError):
        unpack(pack({name or "/": b"x"}))


def test_copy_that_swells__is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("layer/c/0", bytes(50_000_000))
    with pytest.raises(DamagedRunError, match="it holds more than it is"):
        unpack(out.getvalue())
