"""Claims of runs that hold a part only: every command and view works, and says in one sentence what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from bokeh.models import Div, Image, Line
from event_bytes import event, histogram, scalar, write

from deeptracker.analysis import analyze
from deeptracker.app.explorer import Explorer
from deeptracker.cli.info import describe
from deeptracker.detect.silence import silence
from deeptracker.export import export
from deeptracker.recording import ingest_run
from deeptracker.store import Run, open_run
from deeptracker.view import layers, pages
from deeptracker.view.band.overview import overview
from deeptracker.view.curves import MOST, ScalarCurves
from deeptracker.view.event.events import extent, reach
from deeptracker.view.network.layer_values import opening, told
from deeptracker.view.network.strips import Strips

KINDS = ("scalars", "histograms", "answers", "weights")


def source(kind: str, folder: Path) -> Path:
    folder.mkdir()
    draw = np.random.default_rng(1)
    if kind == "scalars":
        events = [event(s, scalar("loss", 2 / (s + 1)), scalar("val_acc", s / 20)) for s in range(0, 20, 2)]
        write(folder / "a.tfevents.1", events)
    elif kind == "histograms":
        limits, counts = [0.0, 0.5, 1.0], [0, 4, 6]
        values = [histogram(f"conv{i}.weight", 0, 1, 4 + i, 9, limits, counts) for i in (1, 2)]
        write(folder / "a.tfevents.1", [event(s, *values) for s in (0, 50, 100)])
    elif kind == "answers":
        np.savez(folder / "a.npz", logits=draw.normal(size=(8, 30, 3)), labels=np.arange(30) % 3)
    else:
        for step in range(6):
            np.savez(folder / f"epoch_{step}.npz", **{"fc.weight": draw.normal(size=(5, 4)).astype(np.float32)})
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """One ingested and analysed run of each kind."""
    folder = tmp_path_factory.mktemp("parts")
    for kind in KINDS:
        ingest_run(source(kind, folder / f"{kind}-source"), folder / kind)
    return {kind: analyze(folder / kind) for kind in KINDS}


def words(explorer: Explorer) -> str:
    """Everything that the views of a page say, in their order."""
    panes = [pane for part in explorer.views.values() for row in part for pane in getattr(row, "objects", [row])]
    return " ".join(pane.object.text for pane in panes if isinstance(getattr(pane, "object", None), Div))


@pytest.mark.parametrize("kind", KINDS)
def test_partial_runs__are_analysed_exported_and_described(runs: dict[str, Run], tmp_path: Path, kind: str) -> None:
    run = runs[kind]
    assert run.event_documents() == []
    assert silence(run).count(".") == 1
    for name in ("report.html", "figure.png", "table.parquet", "table.csv"):
        assert export(run, tmp_path / name).stat().st_size > 100
    facts = describe(run)
    assert facts["ingest"]["found"]
    assert not any("recorder" in item["remedy"] or "Recorder" in item["remedy"] for item in facts["missing"])
    assert not any(item["what"].startswith("stage") for item in facts["missing"])


@pytest.mark.parametrize(
    ("kind", "there", "missing"),
    [
        ("scalars", ["Scalars"], ["No weights were among", "No answers to images", "Without answers to images"]),
        ("histograms", ["Layers"], ["Histograms tell of whole layers", "No answers to images"]),
        ("answers", ["Classes", "Every image is a row"], ["No weights were among", "Without filters"]),
        ("weights", ["Layers", "Filters of one layer"], ["No answers to images", "Without answers to images"]),
    ],
)
def test_explorer__shows_what_there_is_and_then_says_what_is_not(
    runs: dict[str, Run], kind: str, there: list[str], missing: list[str]
) -> None:
    text = words(Explorer(runs[kind]))
    places = [text.index(part) for part in [*there, *missing]]
    assert max(places[: len(there)]) < min(places[len(there) :])
    assert "recorder." not in text


@pytest.mark.parametrize(
    ("kind", "column"),
    [("scalars", "val_acc"), ("histograms", "w_rms"), ("answers", "correct"), ("weights", "w_rms")],
)
def test_tables__hold_what_the_run_is_about(runs: dict[str, Run], tmp_path: Path, kind: str, column: str) -> None:
    table = pd.read_parquet(export(runs[kind], tmp_path / "t.parquet"))
    assert len(table)
    assert table[column].notna().any()


def test_silence__says_why_nothing_was_found(runs: dict[str, Run]) -> None:
    assert "has neither" in silence(runs["scalars"])
    assert "Too few passes" in silence(runs["answers"])
    assert "Too few records" in silence(runs["weights"])


class Calm:
    """A run of four records that was judged from the third one on."""

    validation_sets: tuple[str, ...] = ()

    def has(self, group: str) -> bool:
        return group == "anomalies/iterations"

    def dataset(self, group: str) -> Any:
        rows = {"iteration": [0, 10, 2000, 3000]}
        one = ("iteration", "signal")
        level = np.array([[np.nan], [np.nan], [8.0], [8.0]])
        return xr.Dataset(
            {
                "filter_maximum": (one, np.array([[99.0], [99.0], [2.0], [4.0]])), "filter_level": (one, level),
                "layer_maximum": (one, np.array([[1.0], [1.0], [6.0], [1.0]])), "layer_level": (one, level),
                "model_score": (("iteration", "model_signal"), np.zeros((4, 2))),
                "model_level": (("iteration", "model_signal"), np.full((4, 2), np.nan)),
            },
            rows,
        )  # fmt: skip


def test_silence__says_how_near_the_highest_score_came() -> None:
    said = silence(Calm())  # type: ignore[arg-type]
    assert "from iteration 2,000 on; the nearest score came to 75% of its level, at iteration 2,000" in said


def test_scalar_curves__are_those_of_the_log_less_what_the_band_shows(runs: dict[str, Run]) -> None:
    curves = ScalarCurves(runs["scalars"])
    assert curves.names == ["val_acc"]
    (line,) = (r for r in curves.figures[0].renderers if isinstance(r.glyph, Line))
    data = line.data_source.data
    np.testing.assert_allclose(data["y"], np.arange(0, 20, 2) / 20, rtol=1e-6)


def test_scalar_curves__of_hundreds_draw_the_first_and_count_the_rest(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    events = [event(s, *(scalar(f"tag{i}", i) for i in range(MOST + 3))) for s in (1, 2)]
    write(tmp_path / "s" / "a.tfevents.1", events)
    ingest_run(tmp_path / "s", tmp_path / "run")
    curves = ScalarCurves(open_run(tmp_path / "run"))
    assert len(curves.figures) == MOST
    assert "3 more" in curves.text


def test_whole_layers__are_one_row_each_with_the_values_of_the_run(runs: dict[str, Run]) -> None:
    run = runs["histograms"]
    assert opening(run) == ("w_rms", "value")
    strips = Strips(run)
    (source_,) = strips.sources.values()
    assert source_.data["layer"] == ["conv1", "conv2"]
    want = strips.scale.encode(run.dataset("layers/dense")["w_rms"].values)
    for number, image in enumerate(source_.data["image"]):
        np.testing.assert_array_equal(np.asarray(image)[0], want[:, number])
    assert "a layer as a whole" in layers(run).children[0].text


def test_statistics__that_nobody_recorded_are_not_offered(runs: dict[str, Run]) -> None:
    offered = told(runs["weights"])
    assert offered[0] == "update_angle"
    assert {"w_rms", "update_ratio2"} <= set(offered)
    assert not [name for name in offered if name.startswith(("g_", "grad", "bn_"))]


def test_few_records__open_as_values_and_many_as_change(runs: dict[str, Run], recorded: Run) -> None:
    assert opening(runs["weights"])[1] == "value"
    assert opening(recorded)[1] == "change"


def test_pictures__give_the_last_record_as_much_room_as_the_others(runs: dict[str, Run]) -> None:
    assert (extent(runs["histograms"])[1], reach(runs["histograms"])[1]) == (100, 150)
    (source_,) = Strips(runs["histograms"]).sources.values()
    assert source_.data["x"][0] + source_.data["dw"][0] == 150


def test_band__has_no_axis_of_a_loss_that_was_not_logged(runs: dict[str, Run]) -> None:
    left = overview(runs["answers"]).curves.left[0]
    assert not left.visible
    assert overview(runs["scalars"]).curves.left[0].visible


def test_notes__name_a_call_on_a_recorded_run_and_a_file_on_an_ingested_one(
    runs: dict[str, Run], unvalidated: Run
) -> None:
    assert "recorder.validate" in pages.missing_validation(unvalidated)
    assert ".parquet" in pages.missing_validation(runs["weights"])


def test_images_without_classes__have_no_cube_and_that_is_said(tmp_path: Path) -> None:
    folder: Any = source("weights", tmp_path / "s")
    np.savez(folder / "answers.npz", correct=np.ones((6, 9), int))
    ingest_run(folder, tmp_path / "run")
    run = analyze(tmp_path / "run")
    assert "have no classes" in pages.missing_cube(run)
    assert any(isinstance(r.glyph, Image) for figure in Strips(run).figures for r in figure.renderers)
