"""Tables have copies: what damages one is put right from the other, and neither is taken for sound when it is not."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker import conform
from deeptracker.errors import RunError
from deeptracker.ingest.network import architecture
from deeptracker.store import LogWriter, copies, disk, open_run, place_of, repair, verify
from deeptracker.store.sealed import seal_metadata, unseal
from deeptracker.testing import simulate


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed run with pictures."""
    path = tmp_path_factory.mktemp("copies") / "run"
    simulate(path, model="tiny", iterations=30, images=8, passes=3, classes=2, seed=3, thumbnails=True)
    return path


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return shutil.copytree(sound, tmp_path / "run")


def tables_of(path: Path) -> list[Path]:
    """Files of all tables but pictures, and of those that grow."""
    commit = open_run(path).commit
    found = []
    for group in commit.tables:
        growing = set(commit.groups[group].columns) if group in commit.groups else set()
        place = path / "log.zarr" / group
        arrays = [one for one in place.iterdir() if one.is_dir() and one.name not in growing | {"thumbnail"}]
        plain = [one for one in arrays if not any(place.glob(f"{one.name}/*/zarr.json"))]
        found += [place / "zarr.json", *(file for one in plain for file in one.rglob("*") if file.is_file())]
    return found


def small_architecture() -> xr.Dataset:
    known = {
        "type": ["", ""], "kernel": ["", ""], "normalisation": ["", ""], "parameters": np.array([4, 4]),
        "lr_group": np.array([0, 0]), "init_norm2": np.ones(2),
    }  # fmt: skip
    return architecture(["a", "b"], np.array([2, 2]), known, {"order": "as made"})


def everything(path: Path) -> dict[str, xr.Dataset]:
    run = open_run(path)
    return {group: run.dataset(group).load() for group in run.groups}


def test_tables__have_a_copy_each_once_they_count(run: Path) -> None:
    commit = open_run(run).commit
    assert commit.copies.keys() == commit.tables.keys()
    wanted = {f"{group.replace('/', '~')}.{checksum}.zip" for group, checksum in commit.copies.items()}
    assert {file.name for file in (run / "copies").iterdir()} == wanted
    assert len(wanted) >= 4
    for group, checksum in commit.copies.items():
        with zipfile.ZipFile(run / "copies" / f"{group.replace('/', '~')}.{checksum}.zip") as archive:  # as any tool
            assert archive.testzip() is None
            for name in archive.namelist():
                assert archive.read(name) == (run / "log.zarr" / group / name).read_bytes()
            assert "thumbnail/zarr.json" not in archive.namelist()


@pytest.mark.parametrize("injury", ["flip", "cut", "lose"])
def test_table_that_is_damaged_anywhere__comes_back_byte_for_byte(run: Path, injury: str) -> None:
    before = everything(run)
    files = tables_of(run)
    assert len(files) > 20
    for file in files:
        content = file.read_bytes()
        file.unlink()
        if injury == "flip":
            file.write_bytes(bytes([content[0] ^ 4]) + content[1:])
        elif injury == "cut":
            file.write_bytes(content[: len(content) // 2])
        assert verify(run), file
        assert [one.done for one in verify(run, repair=True) if not one.repaired] == [], file
        assert file.read_bytes() == content
        if injury != "lose":
            kept = (run / "damaged" / file.relative_to(run)).read_bytes()
            assert kept != content
    assert verify(run) == []
    after = everything(run)
    assert all(before[group].identical(after[group]) for group in before)


def test_file_that_is_damaged_again__is_kept_beside_the_first(run: Path) -> None:
    file = run / "log.zarr" / "architecture" / "layer" / "c" / "0"
    for injured in (b"one", b"two", b"one", b"three"):
        file.write_bytes(injured)
        assert [one.done for one in verify(run, repair=True)] == ["its copy took its place"]
    kept = (run / "damaged" / file.relative_to(run)).parent
    assert {one.name: one.read_bytes() for one in kept.iterdir()} == {"0": b"one", "0.2": b"two", "0.3": b"three"}


def test_copy_that_is_damaged_or_lost__is_made_again(run: Path) -> None:
    first, second = sorted((run / "copies").iterdir())[:3:2]
    sound, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(sound[:30] + b"\xff" + sound[31:])
    second.unlink()
    assert [str(one) for one in verify(run)] == [
        f"copies/{first.name}: bytes are not what was written",
        f"copies/{second.name}: a file is missing",
    ]
    everything(run)
    assert [one.done for one in verify(run, repair=True)] == ["made again", "made again"]
    assert (first.read_bytes(), second.read_bytes()) == (sound, other)
    assert verify(run) == []


def test_table_and_copy_both_damaged__are_told_and_never_copied(run: Path) -> None:
    copy = next(file for file in (run / "copies").iterdir() if file.name.startswith("architecture."))
    copy.write_bytes(copy.read_bytes()[:-20])
    file = run / "log.zarr" / "architecture" / "layer" / "c" / "0"
    file.write_bytes(file.read_bytes()[:-3])
    for mending in (True, False, True):
        left = [one for one in verify(run, repair=mending) if not one.repaired]
        assert {one.variable for one in left} == {"layer", f"copies/{copy.name}"}
        assert not mending or not copy.exists()


def test_table_and_its_pictures_both_damaged__come_back_without_the_pictures(run: Path) -> None:
    before = open_run(run).dataset("images/validation").load()
    place = run / "log.zarr" / "images" / "validation"
    for pictures in (b"{}", None):
        if pictures is None:
            shutil.rmtree(place / "thumbnail", ignore_errors=True)
        else:
            (place / "thumbnail" / "zarr.json").write_bytes(pictures)
        (place / "target" / "c" / "0").write_bytes(b"x")
        assert [one.done for one in verify(run, repair=True) if not one.repaired] == []
        assert verify(run) == []
    after = open_run(run).dataset("images/validation").load()
    assert after.identical(before.drop_vars("thumbnail"))


def test_table_whose_file_was_put_in_the_place_of_another__is_noticed(run: Path) -> None:
    arrays = run / "log.zarr" / "architecture"
    other = (arrays / "first_filter" / "c" / "0").read_bytes()
    assert (arrays / "filters" / "c" / "0").read_bytes() != other
    (arrays / "filters" / "c" / "0").write_bytes(other)
    assert [(one.group, one.variable) for one in verify(run)] == [("architecture", "filters")]
    assert [one.done for one in verify(run, repair=True)] == ["its copy took its place"]
    assert verify(run) == []


def test_something_in_the_way_of_a_table__stays_and_the_rest_is_repaired(run: Path) -> None:
    (run / "log.zarr" / "scalars" / "loss" / "c" / "0").write_bytes(b"x" * 8)
    target = run / "log.zarr" / "architecture" / "layer" / "c" / "0"
    target.unlink()
    target.mkdir()
    (target / "mine").touch()
    (run / "log.zarr" / "images" / "validation" / "target" / "c" / "0").unlink()
    left = [one for one in verify(run, repair=True) if not one.repaired]
    assert {(one.group, one.variable) for one in left} == {("architecture", "layer")}
    assert (target / "mine").is_file()
    assert open_run(run).lost["variable"].tolist() == ["loss"]


def test_repair_that_ends_half_way__has_said_what_is_lost(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("loss", "grad_norm"):
        (run / "log.zarr" / "scalars" / name / "c" / "0").write_bytes(b"x" * 8)
    keep, kept = repair.keep_aside, []

    def once(*given: Any) -> None:
        if kept:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        kept.append(keep(*given))

    with monkeypatch.context() as patch:
        patch.setattr(repair, "keep_aside", once)
        with pytest.raises(RunError, match="No space left"):
            verify(run, repair=True)
    assert len(open_run(run).lost) == 1
    assert len(verify(run)) == 1
    verify(run, repair=True)
    assert sorted(open_run(run).lost["variable"]) == ["grad_norm", "loss"]


def test_copy_that_another_put_left__is_not_taken_for_that_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def images(value: int) -> xr.Dataset:
        names = {"image": np.arange(3), "class": np.array(["dog", "cat"])}
        return conform.build("images/test", {"target": np.full(3, value), "position": np.arange(3)}, names)

    state = disk.Disk(place_of(tmp_path / "run"), resume=False)
    state.put({"images/test": images(1)})
    with monkeypatch.context() as patch:
        patch.setattr(state, "save", full)
        with pytest.raises(OSError, match="No space"):
            state.put({"images/test": images(2)})
    with monkeypatch.context() as patch:
        patch.setattr(disk, "make_copy", full)
        state.put({"images/test": images(3)})
    assert verify(tmp_path / "run") == []
    (tmp_path / "run" / "log.zarr" / "images" / "test" / "target" / "c" / "0").unlink()
    assert [one.repaired for one in verify(tmp_path / "run", repair=True)] == [False]


def test_table_that_was_not_moved_yet__is_sound_and_repaired_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(disk.Disk, "_finish_moves", lambda self: None)
        state = disk.Disk(place_of(tmp_path / "run"), resume=False)
        state.put({"architecture": small_architecture()})
    assert verify(tmp_path / "run") == []
    (making,) = (tmp_path / "run" / "making").iterdir()
    sound = (making / "layer" / "c" / "0").read_bytes()
    (making / "layer" / "c" / "0").write_bytes(b"x")
    assert [one.done for one in verify(tmp_path / "run", repair=True)] == ["its copy took its place"]
    assert (making / "layer" / "c" / "0").read_bytes() == sound
    LogWriter(tmp_path / "run").close()
    assert verify(tmp_path / "run") == []


def test_links_in_a_run__are_not_written_through(run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(run / "log.zarr" / "architecture" / "layer")
    (run / "log.zarr" / "architecture" / "layer").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link"):
        verify(run, repair=True)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "arrays", [5, [5], None, [["a"]], ["a\0b"], ["../x"], ["../../../run/log.zarr/scalars/loss"]]
)
def test_names_of_arrays_that_are_none__are_damage_and_put_right(run: Path, arrays: Any) -> None:
    file = run / "log.zarr" / "architecture" / "zarr.json"
    before = file.read_bytes()
    document = unseal(before)
    document["attributes"]["arrays"] = arrays
    file.write_bytes(seal_metadata(document))
    LogWriter(run).close()
    assert {(one.group, one.variable) for one in verify(run)} == {("architecture", "")}
    assert [one.done for one in verify(run, repair=True)] == ["its copy took its place"]
    assert file.read_bytes() == before


def test_pictures_that_were_dropped__are_named_no_more_by_the_copy(run: Path) -> None:
    file = run / "log.zarr" / "images" / "validation" / "thumbnail" / "c" / "0" / "0" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-1])
    assert [one.done for one in verify(run, repair=True)] == ["dropped: the run does without"]
    (run / "log.zarr" / "images" / "validation" / "zarr.json").unlink()
    assert [one.done for one in verify(run, repair=True)] == ["its copy took its place"]
    assert verify(run) == []
    assert "thumbnail" not in open_run(run).dataset("images/validation")


def test_disk_that_takes_no_copy__takes_the_table_and_later_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(copies, "make_copy", full)
        patch.setattr(disk, "make_copy", full)
        writer = LogWriter(tmp_path / "run", background=False)
        writer.coordinates("scalars", {"param_group": [0]})
        writer.append("scalars", 0, {"loss": 1.0})
        writer.flush()
    assert verify(tmp_path / "run") == []
    assert not open_run(tmp_path / "run").commit.copies
    writer.close()
    assert verify(tmp_path / "run") == []
    assert open_run(tmp_path / "run").commit.copies.keys() == {"scalars"}


def test_run_without_copies__gets_them_when_it_goes_on(run: Path) -> None:
    before = sorted(file.name for file in (run / "copies").iterdir())
    shutil.rmtree(run / "copies")
    (run / "copies").mkdir()
    (run / "copies" / "stale.1.zip").touch()
    LogWriter(run).close()
    assert sorted(file.name for file in (run / "copies").iterdir()) == before
    assert verify(run) == []
