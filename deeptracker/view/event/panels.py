"""A small figure of an event's page: a series against what was usual before the event."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Range1d
from numpy.typing import NDArray

from deeptracker.view import palettes
from deeptracker.view.event.events import Event, around
from deeptracker.view.timeline import Timeline, number_ticks

PIXELS = 600
PAST = 200
"""Records before the event that say what was usual."""
HEIGHT = 104
LEFT = 58
"""Pixels at the left of a figure."""


class Panel:
    """A figure on the shared time axis, a grey band of the usual, and a vertical axis that fits what is looked at.

    It is made once and shows one event after the other: a page whose figures stay costs neither the server nor the
    browser a new layout. What an event has nothing for is not ``visible``.
    """

    def __init__(self, timeline: Timeline, title: str = "") -> None:
        self.timeline = timeline
        self.plot = timeline.figure(
            HEIGHT,
            axis=True,
            label=False,
            min_border_left=LEFT,
            min_border_right=10,
            title=title,
            y_range=Range1d(0, 1),
        )
        self.plot.title.text_font_size = "11px"
        self.plot.yaxis.formatter = number_ticks()
        self.plot.yaxis.ticker.desired_num_ticks = 4
        self.band = ColumnDataSource({"left": [], "right": [], "low": [], "high": []})
        self.plot.quad(
            left="left", right="right", bottom="low", top="high", source=self.band,
            fill_color=palettes.LABEL, fill_alpha=0.18, line_color=None, level="underlay",
        )  # fmt: skip

    def usual(self, low: float, high: float) -> None:
        """Draw the band from ``low`` to ``high``; none where they are not finite."""
        known = np.isfinite(low) and np.isfinite(high)
        row = {"left": self.timeline.full[0], "right": self.timeline.full[1], "low": low, "high": high}
        self.band.data = {name: [value] if known else [] for name, value in row.items()}

    def fit(self, *values: Any) -> None:
        """Let the vertical axis end a little beyond these numbers; those that are not finite do not count."""
        flat = np.concatenate([np.ravel(np.asarray(one, dtype=np.float64)) for one in values])
        flat = flat[np.isfinite(flat)]
        if flat.size:
            room = 0.06 * float(np.ptp(flat)) or abs(float(flat[0])) * 0.1 or 1.0
            self.plot.y_range.update(start=float(flat.min()) - room, end=float(flat.max()) + room)


def reading(run: Any, event: Event) -> tuple[float, float]:
    """The range of iterations whose numbers an event's figures hold: from well before it."""
    first, last = around(run, event)
    return first - 3 * (last - first), last + (last - first)


def visible(run: Any, event: Event, at: NDArray[Any]) -> NDArray[np.bool_]:
    """Which records lie in the range that the event opens."""
    first, last = around(run, event)
    return np.asarray((at >= first) & (at <= last))


def usual_band(values: NDArray[np.float64], at: NDArray[np.int64], onset: int) -> tuple[float, float]:
    """1% and 99% points of all numbers of the ``PAST`` records before the onset; NaN under ten of them."""
    past = values[at < onset][-PAST:]
    past = past[np.isfinite(past)]
    if len(past) < 10:
        return float("nan"), float("nan")
    low, high = np.quantile(past, (0.01, 0.99))
    return float(low), float(high)


__all__ = ["HEIGHT", "LEFT", "PAST", "PIXELS", "Panel", "reading", "usual_band", "visible"]
