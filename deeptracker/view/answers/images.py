"""One class in full: each of its images over time, with the picture itself on hover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, LinearColorMapper, Range1d
from numpy.typing import NDArray

from deeptracker.errors import InputError
from deeptracker.screen import coordinate
from deeptracker.screen.answers import classes_of, images_of
from deeptracker.view import palettes, words
from deeptracker.view.columns import columns
from deeptracker.view.scale import Scale
from deeptracker.view.thumbnails import thumbnails
from deeptracker.view.timeline import FONT, Timeline

PIXELS = 1000
MOST_IMAGES = 1000

_TIP = f"""<div style="font-family:{FONT};font-size:12px;display:flex;gap:10px;align-items:center">
<img src="@thumb" width="64" height="64" style="image-rendering:pixelated;filter:var(--dt-image-filter,none)" alt="">
<div><b>image @id</b><br>iteration $x{{0,0}}<br>@row{{custom}}<br>@history</div></div>"""
_TIP_WITHOUT = _TIP.replace(_TIP[_TIP.index("<img") : _TIP.index('alt="">') + 7], "")
_ANSWER = """
const image = cells.data.image[0], x = special_vars.x - left, column = Math.floor(x / width)
if (column < 0 || column >= columns) return ''
const i = value * columns + column, answer = said[i]
if (answer < 0) return 'not evaluated'
return (right[i] == 1 ? 'right' : 'wrong') + (names.length ? ': answered ' + names[answer] : '')
"""


class ClassImages:
    """The drill-down of a class; ``show`` puts another class into the same figure."""

    def __init__(
        self, run: Any, view: str, timeline: Timeline | None = None, *, index: int = 0, height: int = 210
    ) -> None:
        self.run, self.view, self.timeline = run, view, timeline or Timeline(run)
        self.classes = classes_of(run, view)
        self.scale = Scale("error", 0.0, 1.0, "answer", ((0.0, "right"), (1.0, "wrong")))
        self.cells = ColumnDataSource({"image": [], "x": [], "dw": [], "dh": []})
        self.rows = ColumnDataSource(
            {"y": [], "left": [], "right": [], "id": [], "row": [], "history": [], "thumb": []}
        )
        self.answer = CustomJSHover(code=_ANSWER)
        self.plot = self.timeline.figure(height, axis=True, y_range=Range1d(0, 1))
        mapper = LinearColorMapper(low=1, high=255, low_color=palettes.MISSING, palette=list(self.scale.colours))
        self.plot.image("image", "x", 0, "dw", "dh", source=self.cells, color_mapper=mapper, level="image")
        bars = self.plot.hbar(
            y="y",
            left="left",
            right="right",
            height=1,
            source=self.rows,
            fill_alpha=0,
            line_alpha=0,
            hover_fill_color=palettes.SELECTED,
            hover_fill_alpha=0.12,
        )
        self.hover = HoverTool(renderers=[bars], tooltips=_TIP, formatters={"@row": self.answer})
        self.plot.add_tools(self.hover)
        self.plot.yaxis.axis_label = "image, easiest on top"
        self.plot.yaxis.major_label_text_font_size = "0px"
        self.plot.yaxis.major_tick_line_color = None
        self.index = -1
        self.show(index)

    def image_at(self, y: float) -> str | None:
        """The id of the image whose row lies at a height of the figure."""
        ids = self.rows.data["id"]
        row = len(ids) - 1 - int(np.floor(y))
        return str(ids[row]) if 0 <= row < len(ids) else None

    def show(self, index: int) -> None:
        """Open a class by its position. InputError where there is none."""
        if not 0 <= index < len(self.classes.names):
            raise InputError(f"there are {len(self.classes.names)} classes, numbered from 0; not {index}")
        self.index = index
        self.put(self.classes.members(index), words.class_name(self.classes.names[index]))

    def put(self, rows: NDArray[np.intp], title: str) -> None:
        """Show some images, by their positions on the image axis, from top to bottom."""
        chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_IMAGES)).astype(int)] if len(rows) else rows
        answers = images_of(self.run, self.view, chosen)
        passes = answers["validation"].values
        grid = columns(passes, *self.timeline.full, PIXELS)
        correct, predicted = (answers[name].values for name in ("correct", "predicted"))
        count = max(len(chosen), 1)
        seen = grid.last - 1  # the answer in force at the end of a column
        shown = np.where(correct < 0, np.nan, 1.0 - correct)[seen].astype(np.float32)
        self.plot.y_range.update(start=0.0, end=float(count))
        self.cells.data = {
            "image": [np.ascontiguousarray(self.scale.encode(shown).T[::-1])],
            "x": [grid.left],
            "dw": [max(grid.width * grid.count, 1e-9)],
            "dh": [float(count)],
        }
        self.answer.args = {
            "cells": self.cells,
            "left": grid.left,
            "width": grid.width,
            "columns": grid.count,
            "said": predicted[seen].T.astype(np.int32).ravel(),
            "right": correct[seen].T.astype(np.int32).ravel(),
            "names": list(self.classes.names) if len(self.classes.names) > 1 else [],
        }
        pictures = thumbnails(self.run, self.view, chosen)
        self.hover.tooltips = _TIP if pictures else _TIP_WITHOUT
        self.rows.data = {
            "y": (count - np.arange(len(chosen)) - 0.5).tolist(),
            "left": [self.timeline.full[0]] * len(chosen),
            "right": [self.timeline.full[1]] * len(chosen),
            "id": [str(i) for i in answers["image"].values],
            "row": list(range(len(chosen))),
            "history": history(correct),
            "thumb": pictures or [""] * len(chosen),
        }
        left_out = "" if len(chosen) == len(rows) else f" ({len(chosen):,} of them shown)"
        self.plot.title.text = (
            f"{title} · {words.count(len(rows), 'image')}{left_out} × {words.count(len(passes), 'pass')}"
        )


def positions(run: Any, view: str, ids: Sequence[str]) -> NDArray[np.intp]:
    """Positions on the image axis of images by their ids, as text; ids that do not exist are left out."""
    known = {str(image): i for i, image in enumerate(coordinate(run, f"validation/{view}", "image").tolist())}
    return np.array([known[one] for one in ids if one in known], dtype=np.intp)


def history(correct: NDArray[np.int8]) -> list[str]:
    """In words, for each image: how often it was right, and how often it was forgotten (right → wrong)."""
    share = np.where(correct >= 0, correct, 0).sum(axis=0) / np.maximum((correct >= 0).sum(axis=0), 1)
    lost = ((correct[:-1] == 1) & (correct[1:] == 0)).sum(axis=0)
    return [
        f"right in {s:.0%} of the passes, forgotten {words.count(int(n), 'time')}"
        for s, n in zip(share, lost, strict=True)
    ]
