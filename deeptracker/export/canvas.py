"""What a picture is drawn on: pixels or vectors, with the same few strokes. Neither needs a browser."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deeptracker.view import palettes

FONTS = ("DejaVuSans.ttf", "Arial.ttf", "Helvetica.ttc")
INCH = 96
"""Units of a canvas to an inch, as in CSS."""
Point = tuple[float, float]
Pixels = NDArray[np.uint8]


class Canvas(Protocol):
    """A page of ``width`` units; strokes are in units from the upper left corner."""

    def text(self, x: float, y: float, text: str, size: int, colour: str, anchor: str) -> None:
        """Text; ``anchor`` is l, m or r of the line's middle."""

    def line(self, points: Sequence[Point], colour: str, width: float = 1, dash: float = 0) -> None:
        """A line through points; ``dash``: units of a stroke and of the gap after it, 0: none."""

    def box(self, left: float, top: float, right: float, bottom: float, outline: str) -> None:
        """The outline of a rectangle."""

    def disc(self, x: float, y: float, radius: float, fill: str) -> None:
        """A filled circle."""

    def picture(self, pixels: Pixels, left: float, top: float, width: float, height: float) -> None:
        """An image (rows from above, columns, RGB or RGBA), stretched without smoothing."""

    def save(self, path: Path, height: float) -> None:
        """Write what lies above ``height``."""


class Raster:
    """A PNG; ``scale`` pixels a unit."""

    def __init__(self, width: int, height: int, scale: float) -> None:
        self.width, self.scale = width, scale
        self.image = Image.new("RGB", (self._at(width), self._at(height)), palettes.PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def _at(self, value: float) -> int:
        return round(value * self.scale)

    def text(self, x: float, y: float, text: str, size: int, colour: str, anchor: str) -> None:
        font = _font(max(1, self._at(size)))
        self.draw.text((x * self.scale, y * self.scale), text, fill=colour, font=font, anchor=f"{anchor}m")

    def line(self, points: Sequence[Point], colour: str, width: float = 1, dash: float = 0) -> None:
        stroke = max(1, self._at(width))
        if not dash:
            self.draw.line([(x * self.scale, y * self.scale) for x, y in points], fill=colour, width=stroke)
            return
        (x0, y0), (x1, y1) = points[0], points[-1]
        long = float(np.hypot(x1 - x0, y1 - y0)) or 1.0
        for start in np.arange(0, long, 2 * dash):
            ends = [(start / long), min(1.0, (start + dash) / long)]
            piece = [((x0 + (x1 - x0) * e) * self.scale, (y0 + (y1 - y0) * e) * self.scale) for e in ends]
            self.draw.line(piece, fill=colour, width=stroke)

    def box(self, left: float, top: float, right: float, bottom: float, outline: str) -> None:
        corners = [self._at(left), self._at(top), self._at(right), self._at(bottom)]
        self.draw.rectangle(corners, outline=outline, width=max(1, self._at(1)))

    def disc(self, x: float, y: float, radius: float, fill: str) -> None:
        self.draw.ellipse([self._at(v) for v in (x - radius, y - radius, x + radius, y + radius)], fill=fill)

    def picture(self, pixels: Pixels, left: float, top: float, width: float, height: float) -> None:
        size = (max(1, self._at(left + width) - self._at(left)), max(1, self._at(top + height) - self._at(top)))
        image = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
        self.image.paste(image, (self._at(left), self._at(top)), image if image.mode == "RGBA" else None)

    def save(self, path: Path, height: float) -> None:
        dots = self.scale * INCH
        whole = self.image.crop((0, 0, self.image.width, self._at(height)))
        whole.save(path, "PNG", optimize=True, dpi=(dots, dots))


class Vector:
    """An SVG: text and lines as such, images as PNG at the size of their data."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.parts: list[str] = []

    def text(self, x: float, y: float, text: str, size: int, colour: str, anchor: str) -> None:
        place = {"l": "start", "m": "middle", "r": "end"}[anchor]
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{place}" '
            f'dominant-baseline="central">{escape(text)}</text>'
        )

    def line(self, points: Sequence[Point], colour: str, width: float = 1, dash: float = 0) -> None:
        path = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash:g}"' if dash else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
        )

    def box(self, left: float, top: float, right: float, bottom: float, outline: str) -> None:
        self.parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" fill="none" '
            f'stroke="{outline}"/>'
        )

    def disc(self, x: float, y: float, radius: float, fill: str) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}"/>')

    def picture(self, pixels: Pixels, left: float, top: float, width: float, height: float) -> None:
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        self.parts.append(
            f'<image x="{left:.2f}" y="{top:.2f}" width="{width:.2f}" height="{height:.2f}" '
            f'preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
        )

    def save(self, path: Path, height: float) -> None:
        size = f'width="{self.width}" height="{height:.0f}" viewBox="0 0 {self.width} {height:.0f}"'
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
            'font-family="Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif">\n'
            f'<rect width="100%" height="100%" fill="{palettes.PAPER}"/>\n' + "\n".join(self.parts) + "\n</svg>\n",
            encoding="utf-8",
        )


def _font(size: int) -> Any:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


__all__ = ["INCH", "Canvas", "Raster", "Vector"]
