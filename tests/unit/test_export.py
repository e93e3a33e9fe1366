"""Exports: the report's text, the picture's pixels, the table's columns and units."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from deeptracker.errors import InputError, MissingGroupError
from deeptracker.export import export, figure, report, table
from deeptracker.export.target import written
from deeptracker.store import Run
from deeptracker.view import palettes


def test_report__holds_events_evidence_and_pictures_and_names_no_other_address(analysed: Run, tmp_path: Path) -> None:
    text = report(analysed, tmp_path / "report.html").read_text("utf-8")
    own = text[text.index("<body>") :]
    assert "Dead filters" in own
    assert "4 &lt; 5 filters fell silent" in own
    assert "250,000 iterations" in own
    assert own.count("data:image/png;base64,") >= 3
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?(https?:)?//", text)


def test_report__asks_for_nothing_of_panel_even_where_panel_is_loaded(analysed: Run, tmp_path: Path) -> None:
    importlib.import_module("deeptracker.app")
    text = report(analysed, tmp_path / "report.html").read_text("utf-8")
    assert "static/extensions" not in text
    assert text.count("<script src") == 0


def test_report__nothing_of_a_run_becomes_markup(analysed: Run, tmp_path: Path) -> None:
    class Renamed:
        path = Path("runs/<img src=x onerror=alert(1)>")

        def __getattr__(self, name: str) -> object:
            return getattr(analysed, name)

    text = report(Renamed(), tmp_path / "report.html").read_text("utf-8")
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text


def test_report__of_a_run_that_was_only_recorded_says_what_is_missing(
    recorded: Run, unvalidated: Run, tmp_path: Path
) -> None:
    text = report(recorded, tmp_path / "a.html").read_text("utf-8")
    assert "deeptracker analyze" in text
    assert "recorder.validate" in report(unvalidated, tmp_path / "b.html").read_text("utf-8")


def test_figure__draws_strips_classes_and_events_without_a_browser(analysed: Run, tmp_path: Path) -> None:
    with Image.open(figure(analysed, tmp_path / "figure.png", width=900)) as image:
        assert image.width == 900
        height = image.height
        assert height > 300
        rows = np.asarray(image.convert("RGB"))
    pixels = rows.reshape(-1, 3)
    colours = {tuple(colour) for colour in np.unique(pixels, axis=0)}
    for palette in (palettes.CHANGE, palettes.ERROR):
        assert len(colours & {tuple(colour) for colour in palettes.rgb(palette)}) > 5
    marked = (rows[height // 2 :] == palettes.rgb([palettes.SELECTED])[0]).all(axis=2).any(axis=1)
    assert marked.mean() > 0.5  # the strongest event runs through layers and classes


def test_figure__works_on_parts_of_a_run(recorded: Run, unvalidated: Run, tmp_path: Path) -> None:
    for run in (recorded, unvalidated):
        assert figure(run, tmp_path / "figure.png", width=700).stat().st_size > 1000


def test_table__parquet_has_every_row_with_the_unit_of_each_column(analysed: Run, tmp_path: Path) -> None:
    path = table(analysed, tmp_path / "layers.parquet")
    frame = pd.read_parquet(path)
    layers = analysed.dataset("layers/dense")
    assert len(frame) == layers.sizes["iteration"] * layers.sizes["layer"]
    row = frame[(frame["iteration"] == 17) & (frame["layer"] == "conv1")]
    assert row["w_rms"].item() == pytest.approx(float(layers["w_rms"].sel(iteration=17, layer="conv1")))
    metadata = pq.read_schema(path).field("update_angle").metadata
    assert metadata[b"units"] == b"rad"


def test_table__csv_names_units_and_filters_have_layer_and_channel(analysed: Run, tmp_path: Path) -> None:
    path = table(analysed, tmp_path / "filters.csv", group="filters/dense")
    frame = pd.read_csv(path)
    assert list(frame.columns[:3]) == ["iteration", "layer", "channel"]
    assert "update_angle [rad]" in frame
    filters = analysed.dataset("filters/dense")
    assert len(frame) == filters.sizes["iteration"] * filters.sizes["filter"]


def test_table__blocks_join_without_a_seam(analysed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pd.read_csv(table(analysed, tmp_path / "one.csv"))
    monkeypatch.setattr(importlib.import_module("deeptracker.export.table"), "ROWS", 50)
    pd.testing.assert_frame_equal(pd.read_csv(table(analysed, tmp_path / "many.csv")), whole)


def test_export__goes_by_the_ending_and_says_which_there_are(analysed: Run, tmp_path: Path) -> None:
    assert export(analysed, tmp_path / "t.csv") == tmp_path / "t.csv"
    with pytest.raises(InputError, match=r"\.html.*\.png.*\.parquet"):
        export(analysed, tmp_path / "run.docx")


def test_export__a_missing_folder_or_group_is_one_clear_error(recorded: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        export(recorded, tmp_path / "nowhere" / "figure.png")
    with pytest.raises(InputError, match="is a folder"):
        export(recorded, folder(tmp_path / "taken.png"))
    with pytest.raises(MissingGroupError, match="analyze"):
        table(recorded, tmp_path / "t.csv", group="anomalies/filters")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken.png"]  # nothing half-written stays


def test_written__an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "report.html"
    kept.write_text("old")

    def broken() -> None:
        with written(kept) as aside:
            aside.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        broken()
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert kept.read_text() == "old"


def folder(path: Path) -> Path:
    path.mkdir()
    return path
