"""Colours, one palette per meaning: the same colour says the same thing in every view.

All ramps run evenly in CIELAB lightness from nearly white to dark, so that "more ink" always reads as "more", also
in grey print and for colour-blind readers. The quiet state of a run (right answers, nothing changed, nothing
abnormal) is the paper itself; what deserves a look is ink.

========== =================================================== =======================
palette    meaning                                             ramp
========== =================================================== =======================
``ERROR``  share of validation images answered wrongly         white → indigo
``CHANGE`` statistic against its usual level            blue ← white → vermilion
``VALUE``  size of a statistic                                 white → deep teal
``COUNT``  how many things were abnormal (filters or images)   white → plum
``RATIO``  observed against expected                           green ← white → purple
========== =================================================== =======================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Lab = tuple[float, float, float]

INK = "#1c2430"
MUTED = "#66707d"
FAINT = "#d9dde3"
PAPER = "#ffffff"
MISSING = "#eceef1"
SELECTED = "#b5137d"
LOSS = "#2b5c8a"
VALIDATION_ERROR = "#4b3fa0"
LABEL = "#7a8491"
PIN = "#8a6d00"
GAIN = "#1f7a5c"
LOST = "#b2451a"


def _to_rgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB in 0…1 of CIELAB (D65) colours, shape (n, 3); out-of-gamut parts are clipped. Source: CIE 15:2004."""
    height = (lab[:, 0] + 16) / 116
    xyz = np.stack([height + lab[:, 1] / 500, height, height - lab[:, 2] / 200], axis=1)
    xyz = np.where(xyz > 6 / 29, xyz**3, 3 * (6 / 29) ** 2 * (xyz - 4 / 29)) * np.array([0.95047, 1.0, 1.08883])
    linear = xyz @ np.array([[3.2406, -0.9689, 0.0557], [-1.5372, 1.8758, -0.2040], [-0.4986, 0.0415, 1.0570]])
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def ramp(stops: Sequence[Lab], count: int = 255) -> tuple[str, ...]:
    """``count`` colours through the Lab ``stops``, spaced evenly in lightness; hexadecimal strings.

    Parameters
    ----------
    stops : at least two (L, a, b) colours whose L falls from one to the next.
    count : number of colours.
    """
    lab = np.asarray(stops, dtype=np.float64)
    lightness = np.linspace(lab[0, 0], lab[-1, 0], count)
    order = np.argsort(lab[:, 0])
    parts = [np.interp(lightness, lab[order, 0], lab[order, part]) for part in range(3)]
    rgb = np.rint(_to_rgb(np.stack(parts, axis=1)) * 255).astype(int)
    return tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rgb)


def diverging(low: Sequence[Lab], high: Sequence[Lab], count: int = 255) -> tuple[str, ...]:
    """Two ramps that share their pale middle: ``low`` mirrored, then ``high``; ``count`` is odd."""
    half = count // 2 + 1
    return (*ramp(low, half)[:0:-1], *ramp(high, half))


_WHITE: Lab = (98.5, 0.0, 0.0)

ERROR = ramp([_WHITE, (72, 9, -26), (46, 22, -46), (20, 26, -42)])
VALUE = ramp([_WHITE, (74, -22, -9), (46, -26, -12), (20, -14, -10)])
COUNT = ramp([_WHITE, (74, 22, -8), (46, 40, -12), (20, 30, -12)])
CHANGE = diverging(
    [_WHITE, (72, -9, -30), (46, 2, -46), (26, 12, -44)], [_WHITE, (76, 22, 30), (52, 48, 48), (28, 38, 36)]
)
RATIO = diverging(
    [_WHITE, (74, -28, 18), (46, -34, 20), (26, -24, 14)], [_WHITE, (74, 22, -20), (46, 38, -36), (26, 34, -32)]
)

PALETTES = {"error": ERROR, "change": CHANGE, "value": VALUE, "count": COUNT, "ratio": RATIO}


def rgb(palette: Sequence[str]) -> NDArray[np.uint8]:
    """The palette as an array (n, 3), for pictures that are made without a browser."""
    return np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in palette], dtype=np.uint8)
