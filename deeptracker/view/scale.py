"""How numbers become pixels: a scale maps values to bytes 1…255 (0 = missing) and knows its palette and its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptracker.view import palettes

Bytes = NDArray[np.uint8]
CALM = 1.4


@dataclass(frozen=True, slots=True)
class Scale:
    """A named, bounded colour scale.

    Parameters
    ----------
    palette : key of ``palettes.PALETTES``.
    low, high : values at its two ends; beyond them the end colour is used.
    title : what is shown, with its unit.
    ticks : (value, text) to write at the legend.
    logarithmic : ``low`` and ``high`` are positive and spaced by their ratio.
    bend : < 1 gives the low end of a sequential scale more room.
    calm : > 1 keeps what is near the middle of a diverging scale near to white.
    """

    palette: str
    low: float
    high: float
    title: str
    ticks: tuple[tuple[float, str], ...] = ()
    logarithmic: bool = False
    calm: float = 1.0
    bend: float = 1.0

    def place(self, values: Any) -> NDArray[np.float64]:
        """Position on the scale, 0…1, NaN where the value is missing (or not positive on a logarithmic scale)."""
        values = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.logarithmic:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log(np.where(values > 0, values, np.nan))
            low, high = np.log(low), np.log(high)
        span = high - low
        if not span > 0:
            return np.where(np.isnan(values), np.nan, 0.5)
        with np.errstate(invalid="ignore"):
            place = np.clip((values - low) / span, 0.0, 1.0)
        if self.calm == 1.0:
            return np.asarray(place**self.bend)
        away = 2 * place - 1
        return 0.5 + 0.5 * np.sign(away) * np.abs(away) ** self.calm

    def encode(self, values: Any) -> Bytes:
        """Bytes of the same shape: 0 for NaN, 1…255 along the palette."""
        place = self.place(values)
        return np.where(np.isnan(place), 0, np.rint(np.nan_to_num(place) * 254) + 1).astype(np.uint8)

    @property
    def colours(self) -> Sequence[str]:
        return palettes.PALETTES[self.palette]

    def colours_of(self, values: Any) -> list[str]:
        """The colour of each value, flat; NaN as the lowest."""
        return [self.colours[max(int(byte), 1) - 1] for byte in self.encode(values).ravel()]

    def gradient(self) -> str:
        """CSS of the scale, left to right."""
        step = max(1, (len(self.colours) - 1) // 16)
        return f"linear-gradient(90deg,{','.join(self.colours[::step])})"

    def javascript(self) -> str:
        """An expression that turns the byte ``value`` back into the number, for hovers."""
        if self.logarithmic:
            low, span = float(np.log(self.low)), float(np.log(self.high) - np.log(self.low))
            return f"Math.exp({low!r} + {span!r}*(value-1)/254)"
        place = f"((value-1)/254)**{1 / self.bend!r}"
        if self.calm != 1.0:
            away = "((value-128)/127)"
            place = f"(0.5 + 0.5*Math.sign{away}*Math.abs{away}**{1 / self.calm!r})"
        return f"({float(self.low)!r} + {float(self.high - self.low)!r}*{place})"


def change_scale(title: str, octaves: float = 3.0) -> Scale:
    """Values are log₂(value / running median); ends at ±``octaves``."""
    names = {-3: "⅛", -2: "¼", 0: "1", 2: "4", 3: "8"}
    ticks = tuple((float(v), f"{text}×") for v, text in names.items() if abs(v) <= octaves)
    return Scale("change", -octaves, octaves, title, ticks, calm=CALM)


def value_scale(values: Any, title: str) -> Scale:
    """A scale of sizes that fits the data: logarithmic where all is positive, ends at the 0.5% and 99.5% points."""
    finite = np.asarray(values, dtype=np.float64).ravel()
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return Scale("value", 0.0, 1.0, title)
    positive = finite[finite > 0]
    if positive.size >= 0.9 * finite.size and finite.min() >= 0:
        low, high = (float(v) for v in np.quantile(positive, (0.005, 0.995)))
        if high > low > 0:
            ticks = tuple((v, f"{v:.1g}" if v < 1 else f"{v:.3g}") for v in np.geomspace(low, high, 3))
            return Scale("value", low, high, title, ticks, logarithmic=True)
    low, high = (float(v) for v in np.quantile(finite, (0.005, 0.995)))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    if low < 0 < high:
        edge = max(-low, high)
        return Scale("change", -edge, edge, title, tuple((v, f"{v:.2g}") for v in (-edge, 0.0, edge)))
    return Scale("value", low, high, title, tuple((v, f"{v:.3g}") for v in np.linspace(low, high, 3)))


def share_scale(values: Any, title: str) -> Scale:
    """Share of wrong answers: from 0 to the smallest round number that holds 99% of the cells, at most 1."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    top = float(np.quantile(finite, 0.99)) if finite.size else 1.0
    high = next(step for step in (0.1, 0.2, 0.5, 1.0) if step >= min(top, 1.0))
    ticks = tuple((v, f"{v:.0%}") for v in (0.0, high / 10, high / 2, high))
    return Scale("error", 0.0, high, title, ticks, bend=0.75)


def count_scale(values: Any, title: str) -> Scale:
    """Whole numbers from 0 to the 98% point of those above 0, so that one large number does not pale the others."""
    values = np.asarray(values)
    above = values[values > 0]
    high = float(max(1, round(np.quantile(above, 0.98)))) if above.size else 1.0
    ticks = (0.0, high) if high < 4 else (0.0, round(high / 2), high)
    texts = (f"{v:g}" if v < high or values.max(initial=0) <= high else f"≥ {v:g}" for v in ticks)
    return Scale("count", 0.0, high, title, tuple(zip(map(float, ticks), texts, strict=True)), bend=0.7)


RATIO = Scale(
    "ratio",
    -2.0,
    2.0,
    "observed / expected",
    ((-2.0, "¼"), (-1.0, "½"), (0.0, "as expected"), (1.0, "2"), (2.0, "4×")),
)
