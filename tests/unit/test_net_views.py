"""The layers at every level and as every look, the net itself, weights as pictures, paths and shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deeptracker.app.explorer import Explorer
from deeptracker.errors import InputError
from deeptracker.store import Run
from deeptracker.view import words
from deeptracker.view.network import architecture, shares, trajectory, weights
from deeptracker.view.network.filters import LayerFilters, sorted_by
from deeptracker.view.network.layer_values import told
from deeptracker.view.network.looks import looks_of
from deeptracker.view.network.strips import Strips
from deeptracker.view.places import layers_of, levels_of, matching, places_at
from deeptracker.view.timeline import Timeline


def test_places__a_stage_holds_all_its_filters_and_opens_into_blocks_and_layers(analysed: Run) -> None:
    layers = layers_of(analysed)
    for level in levels_of(analysed):
        places = places_at(analysed, level)
        assert [i for p in places for i in range(p.filters.start, p.filters.stop)] == list(
            range(layers[-1].filters.stop)
        )
    stages = places_at(analysed, "stage")
    assert [p.level for p in stages] == ["stage"] * len(stages)
    assert len({p.name for p in stages}) == len(stages)
    opened = places_at(analysed, "stage", ["layer2"])
    assert [p.name for p in opened if p.stage == "layer2"] == ["layer2.0"]
    opened = places_at(analysed, "stage", ["layer2", "layer2.0"])
    inside = [p.name for p in opened if p.stage == "layer2"]
    assert inside == [p.name for p in layers if p.stage == "layer2"]
    with pytest.raises(InputError, match="level 'net'"):
        places_at(analysed, "net")


def test_places__are_found_by_regular_expression(analysed: Run) -> None:
    layers = layers_of(analysed)
    found = [p.name for p in matching(layers, r"^layer1|fc$")]
    assert found == [p.name for p in layers if p.name.startswith("layer1") or p.name.endswith("fc")]
    assert matching(layers, "") == layers
    with pytest.raises(InputError, match="no regular expression"):
        matching(layers, "(")


@pytest.mark.parametrize("level", ["layer", "block", "stage"])
@pytest.mark.parametrize("show", ["change", "value"])
@pytest.mark.parametrize("shape", ["strips", "horizon", "band"])
def test_strips__are_drawn_at_every_level_as_every_look(analysed: Run, level: str, show: str, shape: str) -> None:
    strips = Strips(analysed, level=level, shape=shape, show=show, variable="w_rms", normal="layer")
    places = places_at(analysed, level)
    images = [image for source in strips.sources.values() for image in source.data["image"]]
    assert len(images) == len(places)
    assert all(image.dtype == np.uint8 and image.any() for image in images)
    strips.update(50, 120)
    assert {x for source in strips.sources.values() for x in source.data["x"]} == {50.0}


def test_horizon__tells_the_number_of_the_whole_layer(analysed: Run) -> None:
    strips = Strips(analysed, shape="horizon", show="value", variable="w_rms")
    told = next(iter(strips.sources.values())).data["numbers"][0][0]
    first = layers_of(analysed)[0].name
    np.testing.assert_allclose(told, analysed.layers.w_rms.sel(layer=first).values, rtol=1e-6)
    stages = Strips(analysed, shape="horizon", show="value", variable="w_rms", level="stage")
    told = stages.sources["stage"].data["numbers"][0][0]
    np.testing.assert_allclose(told, analysed.dataset("index/stages")["w_rms"].values[:, 0], rtol=1e-6)


def test_band__tells_the_quantiles_of_the_filters(analysed: Run) -> None:
    strips = Strips(analysed, shape="band", show="value", variable="w_rms")
    place = layers_of(analysed)[0]
    told = next(iter(strips.sources.values())).data["numbers"][0]
    own = analysed.dataset("filters/dense")["w_rms"].values[:, place.filters]
    np.testing.assert_allclose(told[0], own.min(axis=1), rtol=1e-6)
    np.testing.assert_allclose(told[-1], own.max(axis=1), rtol=1e-6)


def test_looks__are_those_that_the_run_has_data_for(analysed: Run, recorded: Run) -> None:
    assert {"strips", "horizon", "band"} <= set(looks_of(recorded))
    full = analysed.has("layers/full") and analysed.dataset("layers/full").sizes["iteration"] > 0
    assert ("ratios" in looks_of(analysed)) == full
    for name in set(looks_of(analysed)) & {"ratios", "weights", "gradients"}:
        strips = Strips(analysed, shape=name)
        assert all(image.any() for source in strips.sources.values() for image in source.data["image"])


def test_statistics__of_every_schedule_are_offered_and_drawn(analysed: Run) -> None:
    names = told(analysed)
    assert names[0] == "update_angle"
    for group in ("filters/dense", "filters/full", "filters/probe", "anomalies/filters"):
        if analysed.has(group) and analysed.dataset(group).sizes["iteration"]:
            own = [n for n, v in analysed.dataset(group).data_vars.items() if v.dims == ("iteration", "filter")]
            known = [n for n in own if np.isfinite(analysed.dataset(group)[n].values[-1]).any()]
            assert set(known) - {"filter_signal"} <= set(names), group
            for name in [n for n in known if n != "filter_signal"][:2]:
                strips = Strips(analysed, variable=str(name), show="value")
                assert any(image.any() for source in strips.sources.values() for image in source.data["image"])
                assert words.statistic(str(name)) != name or name.startswith(("w_", "g_", "update", "grad", "bn"))


def test_filters__can_be_sorted(analysed: Run) -> None:
    values = np.array([[1, 5, np.nan, 2], [9, 5, np.nan, 3]], np.float32)
    assert sorted_by("channel", values).tolist() == [0, 1, 2, 3]
    assert sorted_by("mean", values).tolist() == [0, 1, 3, 2]
    assert sorted_by("last", values).tolist() == [0, 1, 3, 2]
    assert sorted_by("strength", values)[0] == 0
    detail = LayerFilters(analysed, layer="layer2.0.conv1", sort="channel")
    assert detail.channels.tolist() == sorted(detail.channels)


def test_weights__every_weight_is_a_pixel_of_its_tile(analysed: Run) -> None:
    own = np.arange(1, 73, dtype=np.float32)
    picture = weights.tiles(own, (3, 3))
    assert sorted(picture[np.isfinite(picture)]) == own.tolist()
    np.testing.assert_array_equal(picture[:3, :3], own[:9].reshape(3, 3))
    assert np.isnan(picture[3]).all()
    flat = weights.tiles(own[:10], (1, 1))
    assert sorted(flat[np.isfinite(flat)]) == own[:10].tolist()


def test_trajectory__points_are_the_records_of_the_layer(analysed: Run) -> None:
    place = layers_of(analysed)[2]
    shown = trajectory.Trajectory(analysed, layers_of(analysed)[1], "w_norm2", "g_norm2", 0, 400)
    assert shown.show(place, "w_norm2", "g_norm2", 100, 160)
    data = shown.plot.renderers[-1].data_source.data
    own = analysed.layers.sel(layer=place.name, iteration=slice(100, 160))
    assert list(data["at"]) == own.iteration.values.tolist()
    np.testing.assert_allclose(data["x"], own.w_norm2.values)
    np.testing.assert_allclose(data["y"], own.g_norm2.values)


def test_shares__are_of_the_squared_length_and_add_up(analysed: Run) -> None:
    at, share = shares.parts(analysed, "w_norm2", pixels=10_000)
    own = analysed.layers.w_norm2.values.astype(float) ** 2
    np.testing.assert_allclose(share, own / own.sum(axis=1, keepdims=True))
    assert at.tolist() == analysed.layers.iteration.values.tolist()
    assert len(shares.colours(analysed)) == own.shape[1]
    shares.shares(analysed, Timeline(analysed), "w_norm2")


def test_graph__boxes_stand_behind_what_feeds_them() -> None:
    edges = np.array([[0, 1], [1, 2], [0, 2], [2, 3], [0, 4], [4, 3]])
    assert architecture.depths(5, edges).tolist() == [0, 1, 2, 3, 1]


def test_architecture__names_every_layer_and_a_click_finds_it(analysed: Run) -> None:
    rows = architecture.rows(analysed)
    assert [r["name"] for r in rows if r["level"] == 2] == [p.name for p in layers_of(analysed)]
    plot = architecture.graph(analysed)
    data = plot.select_one({"name": "graph"}).data
    for name, x, y in zip(data["name"], data["x"], data["y"], strict=True):
        assert architecture.layer_at(plot, x + 0.1, y - 0.1) == name
    assert architecture.layer_at(plot, -50, 0) is None


def test_layers_section__follows_the_state_and_a_bad_expression_is_said(analysed: Run) -> None:
    explorer = Explorer(analysed, {"level": [b"stage"], "look": [b"horizon"], "opened": [b"layer2"]})
    section: Any = next(s for s in explorer.sections if s.name == "section-layers")
    assert "layer2.0" in [p.name for p in section.strips.places]
    explorer.state.only = "("
    assert "no regular expression" in section.heading.text
    explorer.state.only = "<b>"
    assert "no layer has &#x27;&lt;b&gt;&#x27; in its name" in section.heading.text
    explorer.state.param.update(only="", level="layer", look="strips", opened=[])
    assert [p.name for p in section.strips.places] == [p.name for p in layers_of(analysed)]


def test_filters__show_the_statistic_that_the_address_names(analysed: Run) -> None:
    explorer = Explorer(analysed, {"statistic": [b"w_rms"], "show": [b"value"]})
    section: Any = next(s for s in explorer.sections if s.name == "section-filters")
    assert (section.filters.values.variable, section.filters.values.show) == ("w_rms", "value")
