"""The page of an event: which numbers it shows, what it calls usual, what was in its batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deeptracker.app.explorer import Explorer
from deeptracker.store import Run, open_run
from deeptracker.view.event import batch, course, exhibits, panels
from deeptracker.view.timeline import Timeline


def event(**more: Any) -> dict[str, Any]:
    plain = {"rank": 1, "kind": "anomaly", "cause": "unknown", "iteration": 200, "end": 240, "layers": ["conv1"]}
    return {**plain, "filters": [], "classes": [], "images": [], "evidence": [], "false_per_1000": 0.1, **more}


def line(expression: str) -> dict[str, Any]:
    return {"text": "moved", "expression": expression, "for": True}


WINDOW = "iteration=slice(190, 250))"


def test_exhibits__are_the_series_that_the_evidence_names_each_once(analysed: Run) -> None:
    told = event(
        filters=[{"layer": "layer1.0.conv1", "channel": 2, "score": 9.0}],
        evidence=[
            line(f"run.filters.g_rms.sel(layer='layer1.0.conv1', {WINDOW}"),
            line(f"run.filters.g_rms.sel(layer='layer1.0.conv1', {WINDOW}"),
            line(f"run.layers.w_rms.sel(layer='conv1', {WINDOW}"),
            line(f"run.layers.update_norm2.sel({WINDOW}"),
            line(f"run.layers.no_such_thing.sel(layer='conv1', {WINDOW}"),
            line(f"run.layers.w_rms.sel(layer='gone', {WINDOW}"),
            line("run.scalars.learning_rate"),
            line("__import__('os').system('true')"),
        ],
    )
    found = exhibits.exhibits(analysed, told, most=9)
    assert [(e.group, e.variable, e.layer, e.channels) for e in found] == [
        ("filters/dense", "g_rms", "layer1.0.conv1", (2,)),
        ("layers/dense", "w_rms", "conv1", ()),
        ("layers/dense", "update_norm2", "conv1", ()),
    ]


def test_exhibits__draw_the_numbers_of_the_run(analysed: Run) -> None:
    told = event(
        filters=[{"layer": "layer1.0.conv1", "channel": 2, "score": 9.0}],
        evidence=[line(f"run.filters.g_rms.sel(layer='layer1.0.conv1', {WINDOW}")],
    )
    shown = exhibits.Exhibits(analysed, Timeline(analysed))
    shown.show(told)
    plot, *others = shown.plots
    assert plot.visible
    assert not any(one.visible for one in others)
    source = next(r.data_source.data for r in plot.renderers if "name" in r.data_source.data)
    assert source["name"] == ["filter 2"]
    drawn = dict(zip(source["x"][0].tolist(), source["y"][0].tolist(), strict=True))
    own = analysed.filters.g_rms.sel(layer="layer1.0.conv1").sel(channel=2)
    assert drawn[210] == pytest.approx(float(own.sel(iteration=210)), rel=1e-6)
    all_ = analysed.filters.g_rms.sel(layer="layer1.0.conv1", iteration=210).values
    median = next(r.data_source.data for r in plot.renderers if getattr(r.glyph, "line_dash", None) == [4, 3])
    rest = dict(zip(median["x"].tolist(), median["y"].tolist(), strict=True))
    left = np.sort(np.delete(all_, 2))
    assert rest[210] == pytest.approx(left[(len(left) - 1) // 2], rel=1e-6)


def test_usual_band__is_what_the_records_before_held_and_nothing_after() -> None:
    at = np.arange(400)
    values = np.where(at < 300, at % 100, 1e6).astype(float)[:, None]
    low, high = panels.usual_band(values, at, 300)
    assert (low, high) == tuple(np.quantile(np.r_[0:100, 0:100], (0.01, 0.99)))
    assert np.isnan(panels.usual_band(values, at, 9)[0])
    assert np.isfinite(panels.usual_band(values, at, 10)[0])


def test_course__shows_what_was_logged(analysed: Run) -> None:
    shown = course.Course(analysed, Timeline(analysed))
    shown.show(event())
    titles = [plot.title.text for plot in shown.plots if plot.visible]
    assert titles == ["training loss", "norm of the gradient", "learning rate"]


class Batches:
    """A run of 400 batches of ten labels 0 and 1 in turn, but only 1 from 300 on."""

    def __init__(self) -> None:
        import xarray as xr

        labels = np.tile(np.array([0, 1] * 5), (400, 1))
        labels[300:] = 1
        self.data = xr.Dataset({"batch_labels": (("iteration", "sample"), labels)}, {"iteration": np.arange(400)})
        self.validation_sets: tuple[str, ...] = ()

    def has(self, group: str) -> bool:
        return group == "batches"

    def dataset(self, group: str) -> Any:
        return self.data


def test_batch__shows_labels_beside_the_usual() -> None:
    shown = batch.Labels(Batches())
    shown.show(event(iteration=300, end=300))
    assert shown.plot.visible
    data = shown.plot.renderers[0].data_source.data
    assert data["name"] == ["class 0", "class 1"]
    assert list(data["share"]) == [0, 100]
    assert list(data["usual"]) == [50, 50]
    shown.show(event(iteration=4000, end=4000))
    assert not shown.plot.visible


def test_verdict__is_kept_beside_the_run_and_told_in_the_list(analysed: Run) -> None:
    explorer = Explorer(analysed)
    explorer.context.open_event(1)
    section = next(s for s in explorer.sections if s.name == "section-event")
    section.verdict.values = {"verdict": "dismissed", "note": "<i>ours</i>"}
    try:
        assert open_run(analysed.path).event_documents()[0]["remark"]["verdict"] == "dismissed"
        assert "<b>dismissed</b> &lt;i&gt;ours" in explorer.list.cards[0]
    finally:
        section.verdict.values = {"verdict": "", "note": ""}
    assert open_run(analysed.path).event_documents()[0]["remark"] is None
    assert "dismissed" not in explorer.list.cards[0]
