"""The learning rate as one bar under the curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Range1d

from deeptracker.screen import read, sizes, variables
from deeptracker.view import palettes
from deeptracker.view.network.change import EVERY
from deeptracker.view.timeline import SMALL, Timeline

MOST_RATES = 60


def rates(run: Any, timeline: Timeline, whole: Range1d) -> Any:
    """Learning rate as one bar: a shade and a number for each stretch of it, stronger where it is larger."""
    plot = timeline.figure(18, zoom=False, marks=False, axis=True, x_range=whole, y_range=Range1d(0, 1))
    plot.yaxis.visible = False
    pieces = rate_pieces(run, timeline.full[1])
    if not pieces:
        plot.quad([], [], [], [])  # a figure without any glyph makes Bokeh warn
        return plot
    sizes = np.log10([min(max(rate, 1e-12), 1e12) if rate > 0 else 1e-12 for _, _, rate in pieces])  # NaN: as zero
    share = (sizes - sizes.min()) / (np.ptp(sizes) or 1.0)
    width = timeline.full[1] - timeline.full[0]
    text = [
        f"lr {rate:.3g}" if (stop - start) / width > 0.06 and len(pieces) < MOST_RATES else ""
        for start, stop, rate in pieces
    ]
    if len(pieces) >= MOST_RATES:
        text[0], text[-1] = f"lr {pieces[0][2]:.3g}", ""
    source = ColumnDataSource(
        {
            "left": [p[0] for p in pieces],
            "right": [p[1] for p in pieces],
            "alpha": (0.12 + 0.38 * share).tolist(),
            "text": text,
        }
    )
    edge = palettes.PAPER if len(pieces) < MOST_RATES else None
    plot.quad("left", "right", 1, 0, source=source, fill_color=palettes.LABEL, fill_alpha="alpha", line_color=edge)
    plot.text(
        x="left",
        y=0.5,
        text="text",
        source=source,
        x_offset=6,
        text_font_size=SMALL,
        text_baseline="middle",
        text_color=palettes.INK,
    )
    return plot


def rate_pieces(run: Any, stop: float) -> list[tuple[float, float, float]]:
    """(first iteration, first after it, learning rate) of each stretch; a smooth schedule is cut into equal parts."""
    size = sizes(run, "scalars")
    if "learning_rate" not in variables(run, "scalars") or 0 in (size["param_group"], size["iteration"]):
        return []
    found = read(run, "scalars", ["learning_rate"], pixels=EVERY, select={"param_group": slice(0, 1)})
    values = np.asarray(found["learning_rate"].values[0, :, 0], dtype=np.float64)
    at = np.asarray(found["iteration"].values, dtype=np.float64)
    starts = np.flatnonzero(np.r_[True, ~np.isclose(values[1:], values[:-1], rtol=1e-3, atol=0, equal_nan=True)])
    if len(starts) > MOST_RATES:
        starts = np.unique(np.linspace(0, len(values) - 1, 2 * MOST_RATES).astype(int))
    ends = np.r_[at[starts[1:]], stop]
    return [(float(at[i]), float(e), float(values[i])) for i, e in zip(starts, ends, strict=True)]
