"""What was in the batches of an event, where they were recorded: labels against the usual, pictures if there are."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from deeptracker.screen import coordinate, sizes, table, variables
from deeptracker.screen.answers import class_names, first_set
from deeptracker.view import palettes, words
from deeptracker.view.event.events import Event
from deeptracker.view.event.panels import HEIGHT, LEFT, PAST
from deeptracker.view.thumbnails import gallery, thumbnails
from deeptracker.view.timeline import plain

BATCHES = 3
"""Batches from the onset on that are looked at, at least; those of the whole event up to ``MOST_BATCHES``."""
MOST_BATCHES = 50
MOST_CLASSES = 40
SETS = ("training", "train")
"""Names of a set of images whose ids are those of the batches."""


def _rows(run: Any, event: Event) -> tuple[slice, slice] | None:
    """(rows before the event, rows of the event) of the batches; None where none was recorded then."""
    if "batch_labels" not in variables(run, "batches") or not sizes(run, "batches").get("iteration"):
        return None
    at = coordinate(run, "batches", "iteration")
    first = int(np.searchsorted(at, int(event["iteration"])))
    end = int(np.searchsorted(at, int(event.get("end") or event["iteration"]), side="right"))
    last = min(max(end, first + BATCHES), first + MOST_BATCHES, len(at))
    return (slice(max(0, first - PAST), first), slice(first, last)) if first < last else None


class Labels:
    """Share of each label among the samples of an event's batches, beside that of the batches before."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.source = ColumnDataSource({"name": [], "share": [], "usual": []})
        self.plot = plain(
            figure(
                frame_height=HEIGHT, sizing_mode="stretch_width", toolbar_location=None, tools="",
                x_range=FactorRange(), title="", y_range=Range1d(0, 1),
                min_border_left=LEFT, min_border_right=10, min_border_top=0, min_border_bottom=0,
                outline_line_color=palettes.FAINT, border_fill_color=palettes.PAPER,
            )
        )  # fmt: skip
        self.plot.title.text_font_size = "11px"
        self.plot.yaxis.axis_label = "share, %"
        self.plot.yaxis.ticker.desired_num_ticks = 4
        bars = self.plot.vbar(
            "name", width=0.7, top="share", source=self.source, fill_color=palettes.LABEL, line_color=None
        )
        ticks = self.plot.scatter(
            "name", "usual", source=self.source, marker="dash", size=16, line_color=palettes.SELECTED, line_width=2
        )
        tips = [("", "@name"), ("here", "@share{0.0}%"), (f"the {PAST} batches before", "@usual{0.0}%")]
        self.plot.add_tools(HoverTool(renderers=[bars, ticks], tooltips=tips))

    def show(self, event: Event) -> None:
        """Draw the batches of an event; where none was recorded the figure is not visible."""
        rows = _rows(self.run, event)
        counts = [_counts(self.run, part) for part in rows] if rows is not None else []
        self.plot.visible = bool(counts) and bool(counts[1].sum())
        if rows is None or not self.plot.visible:
            return
        count = max(map(len, counts))
        before, during = (np.pad(c, (0, count - len(c))) for c in counts)
        share, usual = 100 * during / during.sum(), 100 * before / max(before.sum(), 1)
        order = np.arange(count)
        if count > MOST_CLASSES:  # those that differ most
            order = np.sort(np.argsort(-np.abs(share - usual), kind="stable")[:MOST_CLASSES])
        view = first_set(self.run)
        known = class_names(self.run, view, count) if view is not None else ()
        names = [words.class_name(known[i]) if i < len(known) else f"class {i}" for i in order]
        batches = words.count(rows[1].stop - rows[1].start, "batch")
        self.plot.title.text = f"labels in the batches: {int(during.sum()):,} samples of {batches}"
        self.plot.x_range.factors = names
        self.plot.y_range.end = 1.06 * float(max(share.max(), usual.max()))
        self.plot.xaxis.major_label_orientation = 0.7 if len(names) > 6 else 0.0
        self.source.data = {"name": names, "share": share[order], "usual": usual[order]}


def _counts(run: Any, part: slice) -> NDArray[np.int64]:
    labels = np.asarray(table(run, "batches", ["batch_labels"], select={"iteration": part})["batch_labels"].values)
    return np.bincount(labels[labels >= 0].ravel())


def pictures(run: Any, event: Event, most: int = 32, size: int = 40) -> str:
    """The images of the batch at the onset, as HTML; empty where a run keeps no pictures of its training images."""
    rows, name = _rows(run, event), next((n for n in SETS if "thumbnail" in variables(run, f"images/{n}")), None)
    if rows is None or name is None or "batch_ids" not in variables(run, "batches"):
        return ""
    part = slice(rows[1].start, rows[1].start + 1)
    batch = table(run, "batches", ["batch_ids", "batch_labels"], select={"iteration": part})
    ids, labels = (np.asarray(batch[n].values)[0] for n in ("batch_ids", "batch_labels"))
    place = {str(image): i for i, image in enumerate(coordinate(run, f"images/{name}", "image").tolist())}
    chosen = [(place[str(i)], str(i), int(label)) for i, label in zip(ids, labels, strict=True) if str(i) in place]
    chosen = chosen[:most]
    if not chosen:
        return ""
    uris = thumbnails(run, f"{name}/raw", np.array([row for row, _, _ in chosen], dtype=np.intp)) or []
    cells = [
        (uri, f"training image {image}, label {label}", str(label))
        for uri, (_, image, label) in zip(uris, chosen, strict=True)
    ]
    return f"<h3>The batch at its beginning</h3>{gallery(cells, size)}"


__all__ = ["Labels", "pictures"]
