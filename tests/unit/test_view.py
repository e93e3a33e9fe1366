"""Views without pixels: which glyphs, ranges and data the figures hold, against the datasets they are made from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from bokeh.models import Div, GlyphRenderer, Image, Model, Plot

import deeptracker.view as view
from deeptracker.errors import InputError
from deeptracker.screen.answers import classes_of, error_by_class, error_over_time
from deeptracker.store import Run
from deeptracker.view.answers.classes import ClassRows
from deeptracker.view.answers.flips import flipped
from deeptracker.view.answers.images import ClassImages
from deeptracker.view.answers.pixels import PixelChart
from deeptracker.view.band.overview import overview
from deeptracker.view.band.rates import rate_pieces
from deeptracker.view.event.events import anomalies, around, extent, labels
from deeptracker.view.faces.cube import Cube, widths
from deeptracker.view.network.change import learning_rate_steps
from deeptracker.view.network.filters import LayerFilters
from deeptracker.view.network.layer_values import LayerValues, squeeze
from deeptracker.view.network.strips import Strips
from deeptracker.view.places import layers_of, short, stages_of
from deeptracker.view.timeline import Timeline

SET = "validation/raw"


def plots(model: Model) -> list[Plot]:
    return list(model.select({"type": Plot}))


def glyphs(plot: Any, kind: type) -> Iterator[GlyphRenderer]:
    return (r for r in plot.renderers if isinstance(r, GlyphRenderer) and isinstance(r.glyph, kind))


def texts(model: Model) -> str:
    return " ".join(div.text for div in model.select({"type": Div}))


@pytest.mark.parametrize("name", ["overview", "layers", "validation", "cube"])
def test_views__are_layouts_of_figures_on_one_range_of_iterations(analysed: Run, name: str) -> None:
    timeline = Timeline(analysed)
    layout = getattr(view, name)(analysed, timeline)
    assert plots(layout)
    if name != "overview":  # the band shows the whole run and chooses what the others show
        assert any(plot.x_range is timeline.x_range for plot in plots(layout))


def test_timeline__covers_the_run_and_stays_within_it(analysed: Run) -> None:
    timeline = Timeline(analysed)
    assert timeline.full[0] <= 0 < extent(analysed)[1] <= timeline.full[1]
    timeline.show(-500, 100)
    assert (timeline.x_range.start, timeline.x_range.end) == (timeline.full[0], 100)


def test_strips__are_one_figure_a_stage_and_one_image_a_layer(analysed: Run) -> None:
    strips = Strips(analysed)
    stages = stages_of(layers_of(analysed))
    assert len(strips.figures) == len(stages)
    for plot, (name, members) in zip(strips.figures, stages, strict=True):
        (renderer,) = glyphs(plot, Image)
        assert renderer.data_source.data["layer"] == [place.name for place in members]
        assert plot.x_range is strips.timeline.x_range
        assert plot.y_range.start < plot.y_range.end  # a reversed range would shift the images
        assert f"{len(members)} layer" in plot.title.text
        assert strips.sources[name] is renderer.data_source
        assert set(plot.yaxis.major_label_overrides.values()) == {short(place.name) for place in members}


def test_strips__values_are_those_of_the_run(analysed: Run) -> None:
    place = layers_of(analysed)[1]
    values = LayerValues(analysed, "w_rms", "value")
    cells = values.cells(place, 0, 319)
    want = analysed.dataset("filters/dense")["w_rms"].values[:, place.filters]
    np.testing.assert_array_equal(cells.values, want)


def test_strips__the_filter_that_changed_most_is_the_top_row(analysed: Run) -> None:
    strips = Strips(analysed)
    data = next(iter(strips.sources.values())).data
    place = strips.places[0]
    cells = strips.values.cells(place, 0, 319).values
    strongest = int(np.nanargmax(np.nanmax(np.abs(cells[1:]), axis=0)))
    np.testing.assert_array_equal(data["image"][0][-1], strips.scale.encode(cells[:, strongest]))


def test_strips__change_is_the_ratio_to_the_usual_level(analysed: Run) -> None:
    place = layers_of(analysed)[1]
    cells = LayerValues(analysed, "update_angle").cells(place, 0, 319)
    assert np.isnan(cells.values[0]).all()  # no update before the first record
    assert abs(float(np.nanmedian(cells.values))) < 0.5
    assert {160, 240} <= set(learning_rate_steps(analysed)) <= {*range(10), 160, 240}  # warm-up, two drops


def test_strips__a_zoom_shows_the_same_change_as_the_whole_run(analysed: Run) -> None:
    values, place = LayerValues(analysed, "update_angle"), layers_of(analysed)[1]
    part = LayerValues(analysed, "update_angle").cells(place, 150, 200)  # zoomed in before the whole was seen
    np.testing.assert_allclose(part.values, values.cells(place, 0, 319).values[150:201], atol=0.3)


def test_strips__a_spike_of_one_filter_survives_the_aggregation() -> None:
    values = np.zeros((50, 64), np.float32)
    values[20, 33] = -6
    assert squeeze(values, 8).min() == -6
    assert squeeze(values, 8, "mean").min() > -1
    assert squeeze(values, 100) is values


def test_strips__update_reads_another_range_into_the_same_figures(analysed: Run) -> None:
    strips = Strips(analysed)
    sources = dict(strips.sources)
    strips.update(100, 150, variable="w_rms", show="value")
    assert all(strips.sources[name] is source for name, source in sources.items())
    for source in sources.values():
        assert set(source.data["x"]) == {100.0}
        assert set(source.data["dw"]) == {51.0}
    assert strips.scale.palette == "value"


def test_strips__unknown_statistic_lists_what_there_is(analysed: Run) -> None:
    with pytest.raises(InputError, match="update_angle"):
        Strips(analysed, variable="w_median_of_medians")


def test_filters__rows_are_all_filters_strongest_first_and_a_pick_draws_its_series(analysed: Run) -> None:
    detail = LayerFilters(analysed, layer="layer2.0.conv1")
    place = detail.places["layer2.0.conv1"]
    assert sorted(detail.channels) == list(range(place.count))
    assert detail.image.data["image"][0].shape == (place.count, 320)
    detail.pick(3)
    want = analysed.dataset("filters/dense")["update_angle"].values[:, place.filters.start + 3]
    np.testing.assert_array_equal(detail.lines.data["filter"], want)
    row = detail.picked.data["y"][0]
    assert detail.channel_at(row) == 3
    assert detail.table.data["channel"][int(row)] == 3
    with pytest.raises(InputError, match="channels 0"):
        detail.pick(place.count)
    with pytest.raises(InputError, match="no layer 'nowhere'"):
        detail.show("nowhere")


def test_filters__top_row_of_the_image_is_the_first_channel(analysed: Run) -> None:
    detail = LayerFilters(analysed, layer="conv1", shown="value", variable="w_rms")
    encoded = detail.values.scale.encode(detail.values.cells(detail.places["conv1"], *detail.timeline.full).values)
    np.testing.assert_array_equal(detail.image.data["image"][0][-1], encoded[:, detail.channels[0]])


def test_overview__marks_are_the_ranked_events_and_labels_are_told_apart(analysed: Run) -> None:
    timeline = Timeline(analysed)
    band = overview(analysed, timeline)
    assert band.marks.data["rank"] == ["1", "2"]
    assert band.marks.data["x"] == [200, 120]
    lines = timeline.lines.data
    assert dict(zip(lines["x"], lines["dash"], strict=True)) == {160: "dashed", 200: "solid", 120: "solid"}
    assert [e["rank"] for e in anomalies(analysed)] == [1, 2]
    assert [e["cause"] for e in labels(analysed)] == ["lr-drop"]


def test_overview__learning_rate_is_cut_where_it_changes(analysed: Run) -> None:
    pieces = rate_pieces(analysed, 320)
    assert [stop for _, stop, _ in pieces[-3:]] == [160, 240, 320]
    assert pieces[-3][2] > pieces[-2][2] > pieces[-1][2]
    assert all(stop == start for (_, stop, _), (start, _, _) in pairwise(pieces))


def test_around__an_event_has_room_and_stays_within_the_run(analysed: Run) -> None:
    start, stop = around(analysed, anomalies(analysed)[0])
    assert extent(analysed)[0] <= start < 200 < 240 < stop <= extent(analysed)[1]


def test_classes__rows_are_shares_of_wrong_answers(analysed: Run, recorded: Run) -> None:
    rows = ClassRows(analysed, SET)
    answers = analysed.dataset("validation/validation/raw")
    target = analysed.dataset("images/validation")["target"].values
    want = 1 - answers["correct"].values[:, target == 1].mean(axis=1)
    passes, share = error_by_class(analysed, SET, rows.classes)
    np.testing.assert_allclose(share[:, 1], want, atol=1e-6)
    np.testing.assert_array_equal(passes, answers["validation"].values)
    np.testing.assert_allclose(error_by_class(recorded, SET, rows.classes)[1], share, atol=1e-6)  # without an index
    assert set(rows.plot.yaxis.major_label_overrides.values()) == {"all images", "class 0", "class 1", "class 2"}
    assert [row.index for y in (2.5, 0.5) if (row := rows.row_at(y)) is not None] == [0, 2]


def test_classes__marks_are_counts_of_the_two_rules(analysed: Run) -> None:
    marks = ClassRows(analysed, SET).marks.data
    table = analysed.dataset("anomalies/validation/validation/raw/classes")
    found = int((table["left"].sel(k=2) >= 3).sum() + (table["right"].sel(k=2) >= 3).sum())
    assert len(marks["x"]) == found > 0
    assert set(marks["x"]) <= set(table["validation"].values.tolist())


def test_error_over_time__is_the_same_with_and_without_an_index(analysed: Run, recorded: Run) -> None:
    one, other = error_over_time(analysed), error_over_time(recorded)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one[1], other[1], atol=1e-6)


def test_pixels__image_rows_never_cross_a_class(analysed: Run) -> None:
    chart = PixelChart(analysed, SET)
    (renderer,) = glyphs(chart.plot, Image)
    data = renderer.data_source.data
    assert data["class"] == ["class 0", "class 1", "class 2"]
    assert [image.shape[0] for image in data["image"]] == [20, 20, 20]
    assert (data["y"], data["dh"]) == ([40, 20, 0], [20, 20, 20])  # from the top down, without a gap
    rows = chart.classes.rows
    answers = analysed.dataset("validation/validation/raw")
    top = data["image"][0][::-1]  # the first image of the first class is the top row
    left, width = data["x"][0], data["dw"][0] / top.shape[1]
    for i, iteration in enumerate(answers["validation"].values):
        column = int(np.ceil((iteration - left) / width))  # the first one wholly after the pass
        np.testing.assert_array_equal(top[:, column] == 255, answers["correct"].values[i, rows[:20]] == 0)


def test_images__rows_are_the_images_of_the_class_with_their_pictures(analysed: Run) -> None:
    detail = ClassImages(analysed, SET, index=2)
    rows = classes_of(analysed, SET).members(2)
    ids = analysed.dataset("validation/validation/raw")["image"].values[rows]
    assert detail.rows.data["id"] == [str(i) for i in ids]
    assert all(uri.startswith("data:image/png;base64,") for uri in detail.rows.data["thumb"])
    assert "class 2" in detail.plot.title.text
    with pytest.raises(InputError, match="3 classes"):
        detail.show(3)


def test_flips__are_the_event_s_images_with_answers_before_and_after(analysed: Run) -> None:
    answers = analysed.dataset("validation/validation/raw")
    said, passes, ids = (answers[n].values for n in ("predicted", "validation", "image"))
    changed = np.flatnonzero(said[5] != said[4])[:3]
    event = {"iteration": int(passes[5]), "end": int(passes[5]), "images": ids[changed].tolist()}
    flips = flipped(analysed, SET, event, 10)
    assert [flip.image for flip in flips] == ids[changed].tolist()
    assert [(flip.before, flip.after) for flip in flips] == list(zip(said[4, changed], said[5, changed], strict=True))
    assert len(flipped(analysed, SET, event, 1)) == 1
    assert flipped(analysed, SET, {**event, "images": []}, 3) == []


def test_cube__faces_share_their_edges(analysed: Run) -> None:
    cube = Cube(analysed, SET)
    assert cube.top.x_range is cube.front.x_range is cube.timeline.x_range
    assert cube.front.y_range is cube.right.y_range
    assert cube.top.y_range is cube.right.x_range


def test_cube__cells_are_those_of_the_correlation(analysed: Run) -> None:
    cube = Cube(analysed, SET)
    front = analysed.dataset("correlation/validation/validation/raw/front")["filters"].values
    drawn = cube.rasters["front"]
    assert sorted(drawn.cells.told["count"]) == sorted(front[front > 0])
    assert set(drawn.shown[drawn.shown > 0] - 1) == set(range((front > 0).sum()))  # none is hidden by another
    assert "Dead filters" in cube.corner.text


def test_cube__class_widths_follow_their_abnormal_passes_within_bounds() -> None:
    got = widths(np.array([1, 10, 1000]))
    assert got.min() >= 0.7
    assert got.max() <= 2.5
    assert (np.diff(got) >= 0).all()


def test_views__what_is_missing_is_said_with_its_remedy(recorded: Run, unvalidated: Run) -> None:
    assert "deeptracker analyze" in texts(view.cube(recorded))
    assert "recorder.validate" in texts(view.validation(unvalidated))
    assert plots(view.validation(recorded))
    assert plots(view.layers(unvalidated))
    assert plots(view.overview(unvalidated))
