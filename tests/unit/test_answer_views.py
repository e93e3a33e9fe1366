"""Answers: orders and clusters of classes, the rules as lines, counts, confusion, images by class, event and id."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bokeh.models import Line

from deeptracker.app.explorer import Explorer
from deeptracker.errors import InputError
from deeptracker.screen.answers import classes_of
from deeptracker.screen.ordering import ORDERS, clusters_of, ordered
from deeptracker.store import Run
from deeptracker.view.answers import confusion, rules
from deeptracker.view.answers.classes import ClassRows
from deeptracker.view.answers.images import positions
from deeptracker.view.timeline import Timeline

VIEW = "validation/raw"


@pytest.mark.parametrize("by", list(ORDERS))
def test_orders__hold_every_class_and_every_image_once(analysed: Run, by: str) -> None:
    classes, usual = ordered(analysed, VIEW, by), classes_of(analysed, VIEW)
    assert sorted(classes.order) == sorted(usual.order)
    assert sorted(classes.rows) == sorted(usual.rows)
    for index in range(len(usual.names)):
        np.testing.assert_array_equal(classes.members(index), usual.members(index))


def test_orders__hardest_and_most_forgotten_come_first(analysed: Run) -> None:
    answers = analysed.dataset(f"validation/{VIEW}")
    target = analysed.dataset("images/validation")["target"].values
    correct = answers["correct"].values.astype(float)
    wrong = [1 - correct[:, target == c].mean() for c in range(3)]
    assert (
        ordered(analysed, VIEW, "accuracy").order.tolist() == np.argsort([-w for w in wrong], kind="stable").tolist()
    )
    lost = ((correct[:-1] == 1) & (correct[1:] == 0)).sum(axis=0)
    often = [lost[target == c].mean() for c in range(3)]
    assert ordered(analysed, VIEW, "forgetting").order.tolist() == np.argsort([-o for o in often]).tolist()
    with pytest.raises(InputError, match="order 'nice'"):
        ordered(analysed, VIEW, "nice")


def test_classes__clusters_stand_for_their_images_and_open(analysed: Run) -> None:
    own = clusters_of(analysed, VIEW)
    rows = ClassRows(analysed, VIEW, level="cluster")
    assert own is not None
    kinds = [row.kind for row in rows.rows]
    assert kinds == ["all"] + ["cluster"] * len(np.unique(own))
    first = rows.rows[1]
    opened = ClassRows(analysed, VIEW, level="cluster", opened=[f"cluster {first.index}"])
    assert [row.index for row in opened.rows if row.kind == "class"] == [
        c for c in opened.classes.order if own[c] == first.index
    ]


def test_classes__the_top_row_is_the_whole_set(analysed: Run) -> None:
    rows = ClassRows(analysed, VIEW)
    assert (rows.rows[0].kind, rows.rows[0].name) == ("all", "all images")
    grid, share = rows._shares()
    answers = analysed.dataset(f"validation/{VIEW}")
    column = ((answers["validation"].values + 0.5 - grid.left) / grid.width).astype(int)
    np.testing.assert_allclose(share[column, 0], 1 - answers["correct"].values.mean(axis=1), atol=1e-6)
    assert rows.row_at(len(rows.rows) - 0.5) == rows.rows[0]
    assert [row.name for row in ClassRows(analysed, VIEW, pattern="2$").rows] == ["class 2"]
    for bad in ("(", "zebra"):
        with pytest.raises(InputError, match=r"regular expression|no class"):
            ClassRows(analysed, VIEW, pattern=bad)


def test_classes__a_mark_is_the_wider_the_more_images_turned(analysed: Run) -> None:
    marks = ClassRows(analysed, VIEW).marks.data
    assert marks["size"]
    order = np.argsort(marks["alarm"], kind="stable")
    target = analysed.dataset("images/validation")["target"].values
    assert len({int((target == c).sum()) for c in range(3)}) == 1  # classes of one size: the count alone tells
    assert (np.diff(np.asarray(marks["size"])[order]) >= 0).all()


def test_rules__lines_are_the_counts_of_the_class(analysed: Run) -> None:
    (k,) = rules.ks_of(analysed, VIEW, 1)
    left, right = rules.lines(analysed, VIEW, Timeline(analysed), 1, [k])
    counts = analysed.dataset(f"anomalies/validation/{VIEW}/classes")
    for plot, side in ((left, "left"), (right, "right")):
        own = counts[side].sel(k=k).isel({"class": 1})
        drawn = [r.data_source.data["y"] for r in plot.renderers if isinstance(r.glyph, Line)]
        np.testing.assert_array_equal(drawn[0], own.sel(direction="gain").values)
        np.testing.assert_array_equal(drawn[1], -own.sel(direction="loss").values)
    assert len(rules.ks_of(analysed, VIEW)) > 1


def test_counted__adds_up_to_the_images_of_the_class(analysed: Run) -> None:
    plot = rules.counted(analysed, VIEW, Timeline(analysed), 2)
    target = analysed.dataset("images/validation")["target"].values
    top = plot.renderers[-1].data_source.data["y2"]
    assert set(np.asarray(top)[1:].tolist()) == {float((target == 2).sum())}
    assert rules.counted(analysed, VIEW, Timeline(analysed)).y_range.end == len(target)


def test_confusion__counts_answers_by_class_and_takes_the_passes_in_force(analysed: Run) -> None:
    answers = analysed.dataset(f"validation/{VIEW}")
    at = answers["validation"].values
    target = analysed.dataset("images/validation")["target"].values
    a, b = confusion.passes_at(analysed, VIEW, int(at[5]) + 1, int(at[3]))
    assert (a, b) == (3, 5)
    want = np.zeros((3, 3), int)
    np.add.at(want, (target, answers["predicted"].values[a]), 1)
    np.testing.assert_array_equal(confusion.confusion(analysed, VIEW, a, 3), want)
    shown = confusion.Confusion(analysed, VIEW)
    shown.show(int(at[1]), int(at[2]))
    shown.show(int(at[3]), int(at[5]))
    before, after, differ = shown.plots
    cells = [plot.renderers[-1].data_source.data["images"] for plot in (before, after, differ)]
    np.testing.assert_array_equal(cells[1] - cells[0], cells[2])
    assert differ.title.text == f"change from {int(at[3])} to {int(at[5])}"


def test_images__of_a_class_of_the_event_and_by_id(analysed: Run) -> None:
    assert positions(analysed, VIEW, ["8", "nobody", "2"]).tolist() == [
        list(analysed.dataset(f"validation/{VIEW}")["image"].values).index(one) for one in (8, 2)
    ]
    explorer = Explorer(analysed)
    section: Any = next(s for s in explorer.sections if s.name == "section-images")
    explorer.context.open_event(1)
    assert section.images.plot.title.text.startswith("class 2")
    explorer.state.of = "event"
    assert section.images.rows.data["id"] == ["2", "5", "8"]
    section._tap(SimpleNamespace(y=2.5, modifiers=None))
    assert explorer.state.images == ["2"]
    explorer.state.param.update(of="chosen", images=["8", "2", "unheard"])
    assert section.images.rows.data["id"] == ["8", "2"]
    assert "1 id not in this set" in section.heading.text
    explorer.state.clear()
    assert "No image is selected" in section.heading.text


def test_answers_section__compares_pins_before_events_before_the_range(analysed: Run) -> None:
    explorer = Explorer(analysed)
    section: Any = next(s for s in explorer.sections if s.name == "section-answers")
    assert section._ends() == explorer.timeline.full
    explorer.state.param.update(start=40.0, stop=90.0)
    assert section._ends() == (40, 90)
    explorer.context.open_event(1)
    at = analysed.dataset(f"validation/{VIEW}")["validation"].values
    assert section._ends() == (199, at[at >= 200][0])
    explorer.state.pins = [10, 20, 300]
    assert section._ends() == (20, 300)
