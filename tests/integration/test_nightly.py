"""The nightly job: every run has its turn, failures are told at the end, the table has a row a run."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from deeptracker.store import Run, open_run
from deeptracker.testing import simulate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def nightly() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nightly", ROOT / "workflows" / "nightly.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path, unvalidated: Run, analysed: Run) -> Path:
    """Three runs: one up to date, one not analysed, one damaged; and what is no run."""
    shutil.copytree(analysed.path, tmp_path / "a-seen")
    shutil.copytree(unvalidated.path, tmp_path / "b-blind")
    shutil.copytree(unvalidated.path, tmp_path / "c-damaged")
    for chunk in (tmp_path / "c-damaged" / "log.zarr" / "filters" / "dense").rglob("c/0/*"):
        if chunk.is_file():
            chunk.write_bytes(b"not what was written")
    (tmp_path / "notes").mkdir()
    (tmp_path / "d.txt").write_text("no run")
    return tmp_path


def test_nightly__a_damaged_run_stops_no_other_and_is_told_last(
    nightly: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nightly.main([str(folder)]) == 1
    told = capsys.readouterr()
    assert "2 of 3 runs analysed" in told.out.splitlines()[-1]
    assert told.err.startswith("failed: c-damaged: ")
    assert "deeptracker verify" in told.err
    assert len(told.err.splitlines()) == 1
    table = pd.read_csv(folder / "nightly.csv").set_index("name")
    assert list(table.index) == ["a-seen", "b-blind", "c-damaged"]
    assert table["failure"].isna().tolist() == [True, True, False]
    assert open_run(folder / "b-blind").stages.keys() == {"index", "anomalies", "correlation"}


def test_nightly__the_table_names_the_strongest_event(nightly: ModuleType, folder: Path) -> None:
    out = folder / "tables" / "tonight.parquet"
    assert nightly.main([str(folder), "--match", "a-*", "--out", str(out)]) == 0
    (row,) = pd.read_parquet(out).to_dict("records")
    assert (row["event_cause"], row["event_iteration"], row["event_layers"]) == (
        "dead-filters",
        200,
        "layer2.0.conv1",
    )
    assert row["anomalies"] == 2
    assert row["loss"] == open_run(folder / "a-seen").dataset("scalars")["loss"].values[-1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["{}/nowhere"], "is not a folder"),
        (["{}", "--match", "z*"], "holds no run that matches 'z*'"),
        (["{}", "--out", "table.xlsx"], "written as .csv or .parquet"),
        (["{}", "--cluster", "moon"], "cluster 'moon' is not supported"),
    ],
)
def test_nightly__wrong_arguments_are_one_line(
    nightly: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    simulate(tmp_path / "one", model="tiny", iterations=20, images=0, passes=0)
    assert nightly.main([word.format(tmp_path) for word in arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line
