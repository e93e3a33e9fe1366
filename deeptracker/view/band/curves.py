"""Training loss and validation error over the whole run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import FixedTicker, LinearAxis, LinearScale, NumeralTickFormatter, Range1d
from numpy.typing import NDArray

from deeptracker.screen import read, variables
from deeptracker.screen.answers import error_over_time
from deeptracker.view import palettes
from deeptracker.view.columns import curve, thinned
from deeptracker.view.timeline import SMALL, Timeline, number_ticks

PIXELS = 900
BAND = 88


def curves(run: Any, timeline: Timeline, whole: Range1d, *, scale: str = "log", smooth: float = 0.0) -> Any:
    """Training loss (left axis) and validation error (right axis, from zero).

    Parameters
    ----------
    scale : of the loss: ``log`` (where it can be, and spans a factor of five) or ``linear``.
    smooth : weight of the past in an exponential moving average of the loss, as other trackers have it, 0 for none;
        the loss itself stays behind it.
    """
    x, y = np.zeros(0), np.zeros(0)
    if "loss" in variables(run, "scalars"):
        x, y = curve(read(run, "scalars", ["loss"], pixels=PIXELS)["loss"], PIXELS)
    known = y[np.isfinite(y)]
    low, high = (float(known.min()), float(np.quantile(known, 0.999))) if len(known) else (0.0, 0.0)
    logarithmic = scale == "log" and low > 0 and high / low > 5
    plot = timeline.figure(
        BAND, zoom=False, marks=False, x_range=whole, y_axis_type="log" if logarithmic else "linear"
    )
    if len(known):
        room = 0.05 * (high - low or abs(high) or 1.0)
        plot.y_range = (
            Range1d(low / (high / low) ** 0.08, high * (high / low) ** 0.08)
            if logarithmic
            else Range1d(low - room, high + room)
        )
        plot.line(x, y, line_color=palettes.LOSS, line_width=1, line_alpha=0.25 if smooth else 1.0)
        if smooth:
            plot.line(*smoothed(run, smooth), line_color=palettes.LOSS, line_width=1.6)
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


def smoothed(run: Any, weight: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(iterations, exponential moving average of the loss); a bin of records weighs as its records do together."""
    data = read(run, "scalars", ["loss"], pixels=PIXELS, reductions=["mean"])
    values = pd.Series(np.asarray(data["loss"].values[0], dtype=np.float64)).replace([np.inf, -np.inf], np.nan)
    mean = values.ewm(alpha=1 - weight ** data.attrs["size"], ignore_na=True).mean()
    at = (np.asarray(data["iteration"].values) + np.asarray(data["last"].values)) / 2
    return at, mean.to_numpy()


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two positive numbers, with their triples where there are fewer than three."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(ticks) >= 3:
            break
    return ticks
