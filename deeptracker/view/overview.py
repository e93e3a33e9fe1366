"""The band on top of every page: the whole training at a glance, with its events as numbered marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import (
    ColumnDataSource,
    FixedTicker,
    LinearAxis,
    LinearScale,
    NumeralTickFormatter,
    Range1d,
    RangeTool,
)

from deeptracker.screen import read, sizes, variables
from deeptracker.screen.answers import error_over_time
from deeptracker.view import palettes, words
from deeptracker.view.columns import curve, thinned
from deeptracker.view.event.events import anomalies, documents
from deeptracker.view.network.change import EVERY
from deeptracker.view.timeline import SMALL, Timeline, number_ticks

PIXELS = 900
BAND = 96
LANE = 30
WIDTH_OF_A_LETTER = 0.0062
MOST_RATES = 60


@dataclass(frozen=True, slots=True)
class Overview:
    """The band's figures, and the source of the numbered marks (``rank`` in the order drawn)."""

    layout: Any
    marks: ColumnDataSource
    lane: Any
    curves: Any


def overview(run: Any, timeline: Timeline | None = None) -> Overview:
    """Loss, validation error, learning rate and the ranked events over the whole run.

    Dragging in the band chooses the iterations that all other views show.
    """
    timeline = timeline or Timeline(run)
    whole = Range1d(*timeline.full, bounds=timeline.full)
    lane, marks = _lane(run, timeline, whole)
    curves = _curves(run, timeline, whole)
    rates = _rates(run, timeline, whole)
    for plot in (lane, curves, rates):
        tool = RangeTool(x_range=timeline.x_range, start_gesture="pan")
        tool.overlay.update(fill_color=palettes.INK, fill_alpha=0.05, line_color=palettes.INK, line_alpha=0.5)
        tool.overlay.update(line_dash=[], use_handles=False, inverted=False)
        plot.add_tools(tool)
    return Overview(column(lane, curves, rates, sizing_mode="stretch_width", spacing=0), marks, lane, curves)


def _lane(run: Any, timeline: Timeline, whole: Range1d) -> tuple[Any, ColumnDataSource]:
    """Numbered marks, the strongest with its cause in words where there is room."""
    plot = timeline.figure(LANE, zoom=False, marks=False, x_range=whole, y_range=Range1d(0, 1))
    plot.yaxis.visible, plot.outline_line_color = False, None
    found = anomalies(run)
    onsets = [float(e["iteration"]) for e in found]
    source = ColumnDataSource(
        {
            "x": onsets,
            "y": [0.5] * len(found),
            "rank": [str(e["rank"]) for e in found],
            "text": _captions(found, timeline.full),
            "fill": [palettes.INK] * len(found),
            "cause": [words.cause(e["cause"]) for e in found],
            "where": [words.where(e) for e in found],
        },
        name="events",
    )
    order = {"x": "x", "y": "y", "source": source}
    plot.scatter(**order, size=19, fill_color="fill", line_color=palettes.PAPER, line_width=1.5)
    plot.text(
        **order,
        text="rank",
        text_color=palettes.PAPER,
        text_align="center",
        text_baseline="middle",
        text_font_size=SMALL,
        text_font_style="bold",
    )
    plot.text(
        **order,
        text="text",
        x_offset=14,
        text_baseline="middle",
        text_font_size="12px",
        text_color=palettes.INK,
    )
    if documents(run) is None:
        plot.text(
            x=[timeline.full[0]],
            y=[0.5],
            text=["not analysed yet: no events"],
            text_color=palettes.MUTED,
            text_font_size="12px",
            text_baseline="middle",
        )
    return plot, source


def _captions(found: list[dict[str, Any]], full: tuple[float, float]) -> list[str]:
    """Causes beside the marks, given by rank as long as they touch no other mark or caption."""
    span = full[1] - full[0]
    places = [(float(e["iteration"]) - full[0]) / span for e in found]
    taken = [(p - 0.01, p + 0.01) for p in places]
    captions = []
    for i, event in enumerate(found):
        text = words.cause(event["cause"])
        left, right = places[i] + 0.011, places[i] + 0.016 + len(text) * WIDTH_OF_A_LETTER
        free = right <= 1 and all(right < a or left > b for j, (a, b) in enumerate(taken) if j != i)
        captions.append(text if free else "")
        if free:
            taken[i] = (taken[i][0], right)
    return captions


def _curves(run: Any, timeline: Timeline, whole: Range1d) -> Any:
    """Training loss (left axis, logarithmic where it can be) and validation error (right axis, from zero)."""
    x, y = np.zeros(0), np.zeros(0)
    if "loss" in variables(run, "scalars"):
        x, y = curve(read(run, "scalars", ["loss"], pixels=PIXELS)["loss"], PIXELS)
    known = y[np.isfinite(y)]
    logarithmic = bool(len(known)) and known.min() > 0 and known.max() / known.min() > 5
    plot = timeline.figure(
        BAND, zoom=False, marks=False, x_range=whole, y_axis_type="log" if logarithmic else "linear"
    )
    if len(known):
        low, high = float(known.min()), float(np.quantile(known, 0.999))
        plot.y_range = (
            Range1d(low / (high / low) ** 0.08, high * (high / low) ** 0.08)
            if logarithmic
            else Range1d(low - 0.05 * (high - low), high * 1.05 + 1e-9)
        )
        plot.line(x, y, line_color=palettes.LOSS, line_width=1)
        if logarithmic:
            plot.yaxis.ticker = FixedTicker(ticks=log_ticks(low, high))
    else:  # the axis would take the numbers of the error
        plot.y_range, plot.yaxis.visible = Range1d(0, 1), False
    plot.yaxis.axis_label = "training loss"
    plot.yaxis.axis_label_text_color = plot.yaxis.major_label_text_color = palettes.LOSS
    plot.yaxis.formatter = number_ticks()
    error = error_over_time(run)
    if error is not None and len(error[0]):
        passes, share = thinned(error[0], error[1] * 100, PIXELS)
        top = float(np.nanmax(share)) * 1.08 if np.isfinite(share).any() else 100.0
        plot.extra_y_scales = {"error": LinearScale()}
        plot.extra_y_ranges = {"error": Range1d(-0.06 * max(top, 1.0), max(top, 1.0))}
        axis = LinearAxis(y_range_name="error", axis_label="validation error", formatter=NumeralTickFormatter())
        axis.formatter.format = "0.[0]"
        axis.update(
            axis_label="validation error, %",
            axis_label_text_color=palettes.VALIDATION_ERROR,
            axis_label_text_font_style="normal",
            axis_label_text_font_size=SMALL,
            major_label_text_color=palettes.VALIDATION_ERROR,
            major_label_text_font_size=SMALL,
            axis_line_color=palettes.FAINT,
            major_tick_line_color=palettes.FAINT,
            minor_tick_line_color=None,
        )
        axis.ticker.desired_num_ticks = 4
        plot.add_layout(axis, "right")
        plot.line(passes, share, line_color=palettes.VALIDATION_ERROR, line_width=2, y_range_name="error")
    timeline.mark(plot, tint=0.08)
    return plot


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two positive numbers, with their triples where there are fewer than three."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(ticks) >= 3:
            break
    return ticks


def _rates(run: Any, timeline: Timeline, whole: Range1d) -> Any:
    """Learning rate as one bar: a shade and a number for each stretch of it, stronger where it is larger."""
    plot = timeline.figure(18, zoom=False, marks=False, axis=True, x_range=whole, y_range=Range1d(0, 1))
    plot.yaxis.visible = False
    pieces = rate_pieces(run, timeline.full[1])
    if not pieces:
        plot.quad([], [], [], [])  # a figure without any glyph makes Bokeh warn
        return plot
    sizes = np.log10([max(rate, 1e-12) for _, _, rate in pieces])
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
    rates = read(run, "scalars", ["learning_rate"], pixels=EVERY, select={"param_group": slice(0, 1)})
    values = np.asarray(rates["learning_rate"].values[0, :, 0], dtype=np.float64)
    at = np.asarray(rates["iteration"].values, dtype=np.float64)
    starts = np.flatnonzero(np.r_[True, ~np.isclose(values[1:], values[:-1], rtol=1e-3, atol=0)])
    if len(starts) > MOST_RATES:
        starts = np.unique(np.linspace(0, len(values) - 1, 2 * MOST_RATES).astype(int))
    ends = np.r_[at[starts[1:]], stop]
    return [(float(at[i]), float(e), float(values[i])) for i, e in zip(starts, ends, strict=True)]
