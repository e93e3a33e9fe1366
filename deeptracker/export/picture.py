"""A picture of a run without a browser: curves, events, the strips of all layers, the rows of all classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deeptracker.export.target import written
from deeptracker.screen import read, variables
from deeptracker.screen.answers import classes_of, error_by_class, error_over_time, first_set
from deeptracker.view import pages, palettes, words
from deeptracker.view.columns import Columns, columns, curve
from deeptracker.view.event.events import anomalies, labels, reach
from deeptracker.view.network.layer_values import LayerValues, by_strength, opening, squeeze
from deeptracker.view.places import layers_of, short, stages_of
from deeptracker.view.scale import Scale, share_scale

LEFT, RIGHT, TOP = 190, 30, 64
CURVES, GAP = 130, 26
FONTS = ("DejaVuSans.ttf", "Arial.ttf", "Helvetica.ttc")

Pixels = NDArray[np.uint8]


class Picture:
    """A canvas with a cursor that moves down; time runs from ``LEFT`` to the right edge."""

    def __init__(self, run: Any, width: int, height: int) -> None:
        self.run, self.width = run, width
        self.start, self.stop = (float(v) for v in reach(run))
        self.span = width - LEFT - RIGHT
        self.image = Image.new("RGB", (width, height), palettes.PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.y = TOP

    def x(self, iteration: float) -> float:
        """Pixel of an iteration."""
        return LEFT + (iteration - self.start) / (self.stop - self.start) * (self.span - 1)

    def text(
        self, x: float, y: float, text: str, size: int = 12, colour: str = palettes.INK, anchor: str = "lm"
    ) -> None:
        self.draw.text((x, y), text, fill=colour, font=_font(size), anchor=anchor)

    def paste(self, cells: Pixels, grid: Columns, scale: Scale, y: int, height: int) -> None:
        """Bytes (rows, columns), 0 = missing, as an image at the place of its columns."""
        if not cells.size:
            return
        table = np.concatenate([palettes.rgb([palettes.MISSING]), palettes.rgb(scale.colours)])
        left, right = round(self.x(grid.left)), round(self.x(grid.right))
        right = max(right, left + 1)
        block = Image.fromarray(table[cells]).resize((right - left, height), Image.Resampling.NEAREST)
        self.image.paste(block.crop((0, 0, min(right, self.width - RIGHT) - left, height)), (left, y))

    def axis(self) -> None:
        """Iterations under what was drawn last."""
        for value in _round_numbers(self.start, self.stop):
            x = self.x(value)
            self.draw.line([(x, self.y), (x, self.y + 4)], fill=palettes.MUTED)
            self.text(x, self.y + 11, f"{value:,.0f}", 11, palettes.MUTED, "mm")
        self.y += 22

    def lines(self, top: int, bottom: int) -> None:
        """Events and labels from ``top`` to ``bottom``."""
        for event in labels(self.run):
            for y in range(top, bottom, 6):
                x = self.x(int(event["iteration"]))
                self.draw.line([(x, y), (x, min(y + 2, bottom))], fill=palettes.LABEL)
        for event in anomalies(self.run):
            x = self.x(int(event["iteration"]))
            self.draw.line([(x, top), (x, bottom)], fill=palettes.INK if event["rank"] > 1 else palettes.SELECTED)


def figure(run: Any, path: str | Path, *, width: int = 1600, variable: str | None = None) -> Path:
    """Write a PNG of loss, validation error, events, all layers and all classes over time.

    Parameters
    ----------
    run : an opened run; what it lacks is left out.
    path : file to write; an existing one is replaced.
    width : pixels, at least 600; the height follows from what there is to draw.
    variable : statistic of the strips, shown as change against the usual level (as value in a run of few records);
        default: what the explorer opens with.

    Returns
    -------
    The file.

    Raises
    ------
    InputError : no such statistic, or the folder does not exist.
    """
    target = Path(path).expanduser()
    picture = Picture(run, max(width, 600), 20_000)
    picture.text(16, 22, "DeepTracker", 17)
    picture.text(130, 23, str(run.path.name), 14, palettes.MUTED)
    _curves(picture)
    if not pages.missing_layers(run):
        _strips(picture, variable)
    if not pages.missing_validation(run):
        _classes(picture, str(first_set(run)))
    with written(target) as aside:
        picture.image.crop((0, 0, picture.width, picture.y + 12)).save(aside, "PNG", optimize=True)
    return target


def _curves(picture: Picture) -> None:
    """Training loss on its own scale, validation error from 0, numbered events above."""
    run, top = picture.run, picture.y
    bottom = top + CURVES
    picture.draw.rectangle([LEFT, top, picture.width - RIGHT - 1, bottom], outline=palettes.FAINT)
    if "loss" in variables(run, "scalars"):
        loss = curve(read(run, "scalars", ["loss"], pixels=picture.span)["loss"], picture.span)
        _curve(picture, *loss, palettes.LOSS, "training loss", 0)
    error = error_over_time(run)
    if error is not None:
        _curve(picture, error[0], error[1], palettes.VALIDATION_ERROR, "validation error", 1)
    picture.lines(top, bottom)
    for event in reversed(anomalies(run)):
        x = picture.x(int(event["iteration"]))
        colour = palettes.INK if event["rank"] > 1 else palettes.SELECTED
        picture.draw.ellipse([x - 9, top - 22, x + 9, top - 4], fill=colour)
        picture.text(x, top - 13, str(event["rank"]), 11, palettes.PAPER, "mm")
        if event["rank"] == 1:
            picture.text(x + 14, top - 13, words.cause(event["cause"]), 12, palettes.SELECTED)
    picture.y = bottom
    picture.axis()


def _curve(picture: Picture, at: Any, values: Any, colour: str, name: str, line: int) -> None:
    known = np.isfinite(values)
    at, values = np.asarray(at)[known], values[known]
    if not len(values):
        return
    logarithmic = line == 0 and values.min() > 0
    shown = np.log(values) if logarithmic else values
    low, high = (float(shown.min()), float(shown.max())) if line == 0 else (0.0, float(max(shown.max(), 1e-9)))
    place = (shown - low) / ((high - low) or 1.0)
    points = [(picture.x(x), picture.y + CURVES - 4 - v * (CURVES - 10)) for x, v in zip(at, place, strict=True)]
    picture.draw.line(points, fill=colour, width=1 if line == 0 else 2)
    numbers = f"{values[-1]:.1%} at the end" if line else f"{values.max():.3g} … {values.min():.3g}"
    picture.text(LEFT - 10, picture.y + 20 + 40 * line, name, 12, colour, "rm")
    picture.text(LEFT - 10, picture.y + 36 + 40 * line, numbers, 11, palettes.MUTED, "rm")


def _strips(picture: Picture, variable: str | None) -> None:
    places = layers_of(picture.run)
    height = int(np.clip(420 // len(places), 10, 24))
    best, show = opening(picture.run)
    values = LayerValues(picture.run, variable or best, show)
    picture.y += GAP
    _title(picture, "Layers", values.scale)
    top = picture.y
    net = values.net(picture.start, picture.stop, picture.span)
    for stage, members in stages_of(places):
        picture.text(LEFT, picture.y + 8, f"{stage} · {words.count(len(members), 'layer')}", 11, palettes.MUTED)
        picture.y += 16
        for place in members:
            cells = values.cells(place, picture.start, picture.stop, picture.span, net=net)
            rows = squeeze(cells.values[:, by_strength(cells.values)], height - 2)
            picture.paste(values.scale.encode(rows).T, cells.grid, values.scale, picture.y, height - 2)
            picture.text(LEFT - 10, picture.y + height / 2 - 1, short(place.name, 26), min(12, height), anchor="rm")
            picture.y += height
    picture.lines(top, picture.y)
    picture.axis()


def _classes(picture: Picture, view: str) -> None:
    classes = classes_of(picture.run, view)
    passes, share = error_by_class(picture.run, view, classes)
    scale = share_scale(share, "images of the class answered wrongly")
    height = int(np.clip(240 // len(classes.names), 2, 18))
    picture.y += GAP
    _title(picture, "Classes", scale)
    top = picture.y
    grid = columns(passes, picture.start, picture.stop, picture.span)
    rows = scale.encode(grid.reduce(share[:, classes.order], "max")).T
    gap = 1 if height > 5 else 0
    step = max(1, -(-12 // height))
    for i, row in enumerate(rows):
        picture.paste(row[None], grid, scale, picture.y, height - gap)
        if i % step == 0:
            name = short(words.class_name(classes.names[classes.order[i]]), 26)
            picture.text(LEFT - 10, picture.y + height / 2, name, 11, anchor="rm")
        picture.y += height
    picture.lines(top, picture.y)
    picture.axis()


def _title(picture: Picture, title: str, scale: Scale) -> None:
    """A heading at the left, the colour scale with its ends at the right."""
    picture.text(16, picture.y + 8, title, 15)
    bar, right = 200, picture.width - RIGHT
    table = palettes.rgb(scale.colours)[None]
    picture.image.paste(Image.fromarray(table).resize((bar, 9)), (right - bar, picture.y + 4))
    picture.text(right - bar - 10, picture.y + 8, scale.title, 11, palettes.MUTED, "rm")
    for value, text in scale.ticks:
        place = float(scale.place(value))
        anchor = "lm" if place < 0.1 else "rm" if place > 0.9 else "mm"
        picture.text(right - bar + place * bar, picture.y + 21, text, 10, anchor=anchor)
    picture.y += 32


def _font(size: int) -> Any:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _round_numbers(start: float, stop: float) -> NDArray[np.float64]:
    step = 10 ** np.floor(np.log10(max(stop - start, 1)))
    while (stop - start) / step < 5:
        step /= 2
    return np.arange(np.ceil(start / step) * step, stop + 0.5, max(1.0, np.floor(step)))


__all__ = ["figure"]
