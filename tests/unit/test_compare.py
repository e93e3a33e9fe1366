"""Runs side by side: aligned by iteration or epoch, the same numbers as in each run, what differs between them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker.app.compare import Compare
from deeptracker.errors import InputError
from deeptracker.store import Run
from deeptracker.view.compare import aligned, curves, multiples, parameters


class Scalars:
    """A run of scalars every ``step`` iterations."""

    validation_sets: tuple[str, ...] = ()

    def __init__(self, step: int, records: int, per_epoch: int, **attributes: Any) -> None:
        at = np.arange(records) * step
        self.data = xr.Dataset(
            {"loss": ("iteration", 1.0 / (1 + at)), "epoch": ("iteration", at / per_epoch)}, {"iteration": at}
        )
        self.attributes = attributes
        self.path = SimpleNamespace(name=f"every{step}", parent=SimpleNamespace(name="runs"))

    def has(self, group: str) -> bool:
        return group == "scalars"

    def dataset(self, group: str) -> Any:
        return self.data

    def event_documents(self) -> list[Any]:
        return []


def test_axis__aligns_runs_of_other_batch_sizes_by_epoch() -> None:
    runs = [Scalars(1, 1001, 100), Scalars(1, 501, 50)]
    assert aligned.kinds_of(runs) == ["iteration", "epoch"]
    axis = aligned.axis_of(runs, "epoch")
    assert (axis.start, axis.stop) == pytest.approx((0, 10), abs=0.05)
    assert axis.place(0, np.array([500]))[0] == pytest.approx(axis.place(1, np.array([250]))[0]) == pytest.approx(5)
    by_iteration = aligned.axis_of(runs)
    assert by_iteration.stop == pytest.approx(1000, abs=4)
    with pytest.raises(InputError, match="cannot align by 'epoch'"):
        aligned.axis_of([runs[0], SimpleRun()], "epoch")


class SimpleRun(Scalars):
    """A run that logged no epoch."""

    def __init__(self) -> None:
        super().__init__(1, 100, 10)
        self.data = self.data.drop_vars("epoch")


def test_spread__each_column_shows_the_record_in_force_and_nothing_after_the_end() -> None:
    runs = [Scalars(10, 61, 100), Scalars(10, 31, 100)]
    axis = aligned.axis_of(runs)
    at = runs[1].data["iteration"].values
    values = axis.spread(1, at, at.astype(np.float32))
    for column, begin in enumerate(axis.columns):
        middle = begin + axis.width / 2
        if begin > 311:
            assert np.isnan(values[column])
        elif begin < 300:
            assert values[column] == at[at <= middle].max()


def test_same_layer__rows_are_the_numbers_of_each_run(analysed: Run, recorded: Run) -> None:
    runs = [analysed, recorded]
    axis = aligned.axis_of(runs)
    assert multiples.common_layers(runs)[0] == "conv1"
    got = multiples.series(recorded, 1, axis, "w_rms", ["layer1.0.conv1"])[:, 0]
    own = recorded.layers.w_rms.sel(layer="layer1.0.conv1")
    column = int((200 - axis.start) / axis.width)
    at = int(own["iteration"].values[own["iteration"].values <= axis.columns[column] + axis.width / 2].max())
    assert got[column] == pytest.approx(float(own.sel(iteration=at)))
    plot, _ = multiples.difference(analysed, 0, recorded, 1, axis, curves.Range1d(0, 1), "w_rms", "a over b")
    image = plot.renderers[0].data_source.data["image"][0]
    assert set(np.unique(image)) <= {0, 128}  # the same simulation twice: a ratio of one, or nothing recorded


def test_parameters__only_what_differs_is_listed() -> None:
    runs = [
        Scalars(1, 10, 5, model="A", host={"cpus": 2, "torch": "1"}, started=1.0),
        Scalars(1, 10, 5, model="A", host={"cpus": 4, "torch": "1"}, started=2.0),
    ]
    assert parameters.differing(runs) == {"host.cpus": ["2", "4"]}
    html = parameters.table_html(runs, ["<one>", "two"], ["#000000", "#ffffff"])
    assert "&lt;one&gt;" in html
    assert "host.cpus" in html
    assert "torch" not in html


def test_compare__page_follows_its_address(analysed: Run, recorded: Run) -> None:
    page = Compare([analysed, recorded], {"layer": [b"layer1.0.conv1"], "statistic": [b"w_rms"], "one": [b"nobody"]})
    assert page.left_out == ["one=nobody"]
    titles = [
        pane.object.title.text for part in page.views for pane in getattr(part, "objects", [part])
        if hasattr(getattr(pane, "object", None), "title")
    ]  # fmt: skip
    assert "layer1.0.conv1 in every run" in titles
    assert f"{page.names[1]} over {page.names[0]}" in titles
    page.choice.one = page.names[0]
    assert "one=" in page.address.place["query"]
    with pytest.raises(InputError, match="1 run"):
        Compare([analysed])


def test_compare__many_runs_are_grey_and_names_are_told_apart(analysed: Run) -> None:
    assert len(set(curves.colours(8))) == 8
    assert len(set(curves.colours(100))) == 1
    page = Compare([analysed] * 12)
    assert len(set(page.names)) == 12
