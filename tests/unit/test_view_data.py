"""What the views compute before anything is drawn: levels, columns, change, scales, colours, words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.screen import choose, read
from deeptracker.screen.image_rows import rows_within
from deeptracker.view import palettes, words
from deeptracker.view.columns import columns
from deeptracker.view.faces.minisets import draw
from deeptracker.view.network.change import running_median, usual
from deeptracker.view.network.layer_values import LayerValues
from deeptracker.view.places import Place
from deeptracker.view.scale import RATIO, Scale, change_scale, count_scale, share_scale, value_scale


class Log:
    """A run of one statistic, with coarse levels as the index makes them: whole bins only."""

    path = "memory"

    def __init__(self, records: int, sizes: tuple[int, ...] = (8, 64, 512), rate: Any = None) -> None:
        rng = np.random.default_rng(0)
        self.values = rng.normal(size=(records, 3)).astype(np.float32)
        self.iteration = np.arange(records)
        if rate is not None:
            self.values = (rate[:, None] * np.exp(0.02 * self.values)).astype(np.float32)
        self.groups = {
            "filters/dense": xr.Dataset(
                {"w_mean": (("iteration", "filter"), self.values)}, coords={"iteration": self.iteration}
            )
        }
        if rate is not None:
            self.groups["scalars"] = xr.Dataset(
                {"learning_rate": (("iteration", "param_group"), rate[:, None])}, coords={"iteration": self.iteration}
            )
        for size in sizes:
            bins = records // size
            if bins:
                cut = self.values[: bins * size].reshape(bins, size, 3)
                self.groups[f"index/filters_{size}"] = xr.Dataset(
                    {
                        "w_mean": (
                            ("iteration_bin", "reduction", "filter"),
                            np.stack([cut.min(1), cut.mean(1), cut.max(1)], axis=1),
                        )
                    },
                    coords={
                        "iteration_bin": self.iteration[: bins * size : size],
                        "reduction": ["min", "mean", "max"],
                    },
                )

    def has(self, group: str) -> bool:
        return group in self.groups

    def dataset(self, group: str) -> xr.Dataset:
        return self.groups[group]


def test_choose__reads_records_while_the_screen_can_show_them() -> None:
    log = Log(4000)
    assert choose(log, "filters/dense", 0, 3999, 1000).size == 1
    assert choose(log, "filters/dense", 0, 3999, 400).size == 8
    assert choose(log, "filters/dense", 0, 3999, 50).size == 64
    assert choose(log, "filters/dense", 1000, 1399, 400).size == 1


def test_choose__without_an_index_reads_records() -> None:
    assert choose(Log(4000, sizes=()), "filters/dense", 0, 3999, 50).size == 1


def test_choose__takes_no_bins_that_lack_what_is_asked_for() -> None:
    log = Log(4000)
    own = log.groups["filters/dense"]
    log.groups["filters/dense"] = own.assign(only_here=own.w_mean)
    assert choose(log, "filters/dense", 0, 3999, 50, names=["w_mean"]).size == 64
    assert choose(log, "filters/dense", 0, 3999, 50, names=["w_mean", "only_here"]).size == 1
    assert read(log, "filters/dense", ["only_here"], pixels=50).sizes["iteration"] == 4000


@pytest.mark.parametrize("pixels", [40, 300, 2000])
@pytest.mark.parametrize("span", [(0, 4000), (700, 1900)])
def test_read__amount_depends_on_the_screen_not_on_the_log(pixels: int, span: tuple[int, int]) -> None:
    got = read(Log(4001), "filters/dense", ["w_mean"], *span, pixels)
    assert got.sizes["iteration"] <= 8 * pixels + 2


def test_read__records_after_the_last_whole_bin_are_not_lost() -> None:
    log = Log(1030)
    log.groups["filters/dense"]["w_mean"].values[-1] = 99
    got = read(log, "filters/dense", ["w_mean"], 0, 1029, 100)
    assert got.sizes["reduction"] == 3
    assert float(got["w_mean"].max()) == 99


def test_columns__one_a_record_where_records_are_even() -> None:
    grid = columns(np.arange(0, 50, 5), 0, 45, 100)
    assert (grid.left, grid.width, grid.count) == (0, 5, 10)


@given(
    steps=st.lists(st.integers(1, 30), min_size=1, max_size=60),
    pixels=st.integers(1, 80),
    how=st.sampled_from(["max", "min", "mean", "extreme"]),
)
@settings(max_examples=60, deadline=None)
def test_columns__every_column_reduces_the_records_in_force_in_it(steps: list[int], pixels: int, how: str) -> None:
    iteration = np.cumsum(steps)
    values = np.random.default_rng(len(steps)).normal(size=(len(iteration), 2)).astype(np.float32)
    grid = columns(iteration, float(iteration[0]), float(iteration[-1]), pixels)
    got = grid.reduce(values, how)
    for column in range(grid.count):
        part = values[grid.first[column] : grid.last[column]]
        pick = {"max": part.max(0), "min": part.min(0), "mean": part.mean(0)}
        want = pick.get(how, np.where(-part.min(0) > part.max(0), part.min(0), part.max(0)))
        np.testing.assert_allclose(got[column], want, rtol=1e-5)
    assert grid.first[0] == 0
    assert grid.last[-1] == len(iteration)


def test_reduce__a_single_spike_survives_and_nan_are_left_out() -> None:
    values = np.zeros((1000, 1), np.float32)
    values[501], values[502] = -7, np.nan
    got = columns(np.arange(1000), 0, 999, 20).reduce(values, "extreme")
    assert got.min() == -7
    assert not np.isnan(got).any()


def test_running_median__never_looks_across_a_cut() -> None:
    values = np.repeat([[1.0], [5.0]], 100, axis=0).astype(np.float32)
    assert np.array_equal(running_median(values, 50, np.array([100])), values)


def test_change__a_step_of_the_learning_rate_is_none_and_a_lone_filter_is_seen_while_it_lasts() -> None:
    rng = np.random.default_rng(1)
    rate = np.where(np.arange(600) < 300, 1.0, 0.1)[:, None]
    values = (rate * np.exp(rng.normal(0, 0.05, (600, 12)))).astype(np.float32)
    values[400:500, 4] /= 16
    whole = usual(values, np.arange(600), np.array([300]), True)
    change = whole.change(values, np.arange(600))
    assert np.abs(np.median(change[290:310], axis=1)).max() < 0.3
    assert np.allclose(change[400:500, 4], -4, atol=0.6)
    assert np.abs(np.delete(change, 4, axis=1)).max() < 1
    part = np.arange(280, 430)  # zoomed in, the colours say the same
    np.testing.assert_allclose(whole.thinned(60).change(values[part], part), change[part], atol=0.15)


def test_change__bins_across_a_learning_rate_step_are_none() -> None:
    log = Log(4000, rate=np.where(np.arange(4000) < 2003, 1.0, 0.1))
    cells = LayerValues(log, "w_mean").cells(Place("a", "a", slice(0, 3)), 0, 3999, 400)
    assert cells.grid.count < 1000
    assert np.abs(cells.values).max() < 0.5


def test_change__an_exact_zero_is_the_strongest_fall() -> None:
    values = np.ones((200, 8), np.float32)
    values[150:, 2] = 0
    change = usual(values, np.arange(200), np.array([], int), True).change(values, np.arange(200))
    assert (change[150:, 2] < -20).all()
    assert (change[:, 3] == 0).all()


SCALES = [
    Scale("value", 0.0, 5.0, "x"),
    change_scale("x"),
    share_scale([0.1, 0.9], "x"),
    count_scale([0, 3, 9], "x"),
    value_scale(np.geomspace(1e-6, 1, 50), "x"),
    RATIO,
]


@pytest.mark.parametrize("scale", SCALES, ids=lambda s: f"{s.palette}-{s.low:.2g}")
def test_scale__bytes_keep_the_order_and_the_hover_gives_the_value_back(scale: Scale) -> None:
    space: Any = np.geomspace if scale.logarithmic else np.linspace
    values = space(scale.low, scale.high, 200)
    encoded = scale.encode(values)
    assert (np.diff(encoded.astype(int)) >= 0).all()
    assert (encoded[0], encoded[-1]) == (1, 255)
    code = scale.javascript().replace("Math.exp", "np.exp").replace("Math.sign", "np.sign").replace("Math.abs", "abs")
    back = np.array([eval(code, {"np": np, "value": int(v)}) for v in encoded])
    np.testing.assert_allclose(scale.place(back), scale.place(values), atol=1 / 254)


def test_scale__missing_is_byte_zero() -> None:
    assert value_scale([0.1, 10.0], "x").encode([np.nan, 0.1]).tolist()[0] == 0


def _lightness(colour: str) -> float:
    linear = [(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in linear]
    y = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


@pytest.mark.parametrize("name", ["error", "value", "count"])
def test_palettes__sequential_ramps_darken_evenly(name: str) -> None:
    steps = np.diff([_lightness(c) for c in palettes.PALETTES[name]])
    assert (steps < 0.1).all()
    assert steps.min() > 3.5 * steps.mean()


@pytest.mark.parametrize("name", ["change", "ratio"])
def test_palettes__diverging_ramps_are_palest_in_the_middle(name: str) -> None:
    lightness = [_lightness(c) for c in palettes.PALETTES[name]]
    assert int(np.argmax(lightness)) == len(lightness) // 2
    assert len(lightness) == 255


def test_rows_within__every_class_keeps_rows_of_its_own() -> None:
    assert rows_within([10, 20], 100) == [10, 20]
    rows = rows_within([50_000, 3, 200], 300)
    assert min(rows) >= 1
    assert sum(rows) <= 310


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"false_per_1000": 0.004}, "250,000"),
        ({"false_per_1000": 0.31}, "3,200"),
        ({"false_per_1000": None}, "not calibrated"),
    ],
)
def test_words__say_how_often_such_an_alarm_is_false(event: dict[str, Any], text: str) -> None:
    assert text in words.false_rate(event)


def test_words__causes_are_read_out_even_where_they_are_new() -> None:
    assert words.cause("lr-spike") == "Learning-rate spike"
    assert words.cause("melted-core") == "Melted core"


def test_minisets__none_where_the_run_has_none() -> None:
    drawing = draw(Log(10), "validation/raw", columns={}, rows={}, layers=[], classes=[])
    assert drawing.rectangles["x"] == []
