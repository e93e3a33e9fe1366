"""A picture of a run without a browser: curves, events, strips of all layers, rows of all classes, the cube."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptracker.errors import InputError
from deeptracker.export.canvas import INCH, Canvas, Raster, Vector
from deeptracker.export.target import written
from deeptracker.screen import read, variables
from deeptracker.screen.answers import classes_of, error_by_class, error_over_time, first_set
from deeptracker.screen.cube import faces
from deeptracker.view import pages, palettes, words
from deeptracker.view.columns import Columns, columns, curve
from deeptracker.view.event.events import anomalies, labels, reach
from deeptracker.view.faces.cabinet import Cabinet, Projection
from deeptracker.view.network.layer_values import LayerValues, by_strength, opening, squeeze
from deeptracker.view.places import layers_of, short, stages_of
from deeptracker.view.scale import Scale, share_scale

LEFT, RIGHT, TOP = 190, 30, 64
CURVES, GAP, BAR = 130, 26, 200
HIGH = 4_000
"""Units that a picture is high at most."""
WHAT = ("run", "curves", "layers", "classes", "cube")

Pixels = NDArray[np.uint8]


class Picture:
    """A canvas with a cursor that moves down; time runs from ``LEFT`` to the right edge."""

    def __init__(self, run: Any, canvas: Canvas, width: int) -> None:
        self.run, self.canvas, self.width = run, canvas, width
        self.start, self.stop = (float(v) for v in reach(run))
        self.span = width - LEFT - RIGHT
        self.y: float = TOP

    def x(self, iteration: float) -> float:
        """Pixel of an iteration."""
        return LEFT + (iteration - self.start) / (self.stop - self.start) * (self.span - 1)

    def text(
        self, x: float, y: float, text: str, size: int = 12, colour: str = palettes.INK, anchor: str = "l"
    ) -> None:
        self.canvas.text(x, y, text, size, colour, anchor)

    def paste(self, cells: Pixels, grid: Columns, scale: Scale, y: float, height: float) -> None:
        """Bytes (rows, columns), 0 = missing, as an image at the place of its columns, cut at the right end."""
        if not cells.size:
            return
        table = np.concatenate([palettes.rgb([palettes.MISSING]), palettes.rgb(scale.colours)])
        inside = max(1, int(np.ceil((self.stop - grid.left) / max(grid.width, 1e-12))))
        pixels = np.ascontiguousarray(table[cells[:, :inside]])
        right = min(self.x(grid.left + grid.width * pixels.shape[1]), self.width - RIGHT)
        left = self.x(grid.left)
        self.canvas.picture(pixels, left, y, max(right - left, 1), height)

    def axis(self) -> None:
        """Iterations under what was drawn last."""
        for value in _round_numbers(self.start, self.stop):
            x = self.x(value)
            self.canvas.line([(x, self.y), (x, self.y + 4)], palettes.MUTED)
            self.text(x, self.y + 11, f"{value:,.0f}", 11, palettes.MUTED, "m")
        self.y += 22

    def lines(self, top: float, bottom: float) -> None:
        """Events and labels from ``top`` to ``bottom``."""
        for event in labels(self.run):
            x = self.x(int(event["iteration"]))
            self.canvas.line([(x, top), (x, bottom)], palettes.LABEL, dash=3)
        for event in anomalies(self.run):
            x = self.x(int(event["iteration"]))
            colour = palettes.INK if event["rank"] > 1 else palettes.SELECTED
            self.canvas.line([(x, top), (x, bottom)], colour)


def figure(
    run: Any,
    path: str | Path,
    *,
    what: str = "run",
    width: int = 1600,
    dpi: float = INCH,
    variable: str | None = None,
) -> Path:
    """Write a PNG or an SVG of a run.

    Parameters
    ----------
    run : an opened run; what it lacks is left out.
    path : file ending in ``.png`` or ``.svg``; an existing one is replaced.
    what : ``run`` (curves, layers and classes), one of these, or ``cube``.
    width : units of 1/96 inch, at least 600; the height follows from what there is to draw.
    dpi : dots an inch of a PNG: 96 for a screen, 300 for print.
    variable : statistic of the strips, shown as change against the usual level (as value in a run of few records);
        default: what the explorer opens with.

    Returns
    -------
    The file.

    Raises
    ------
    InputError : no such statistic, kind or ending, the run lacks what is wanted, or the folder does not exist.
    """
    target = Path(path).expanduser()
    if what not in WHAT:
        raise InputError(f"what={what!r}: choose one of {', '.join(WHAT)}")
    if not 24 <= dpi <= 1200:
        raise InputError(f"dpi={dpi:g}: choose 24 to 1200")
    if target.suffix.lower() not in (".png", ".svg"):
        raise InputError(f"{target}: a picture ends in .png or .svg")
    missing = {
        "layers": pages.missing_layers(run), "classes": pages.missing_validation(run), "cube": pages.missing_cube(run)
    }.get(what, "")  # fmt: skip
    if missing:
        raise InputError(f"{run.path}: no picture of {what}: {words.plain(missing)}")
    width = max(width, 600) if what != "cube" else LEFT + Projection().size[0] + 140
    canvas: Canvas = Vector(width) if target.suffix.lower() == ".svg" else Raster(width, HIGH, dpi / INCH)
    picture = Picture(run, canvas, width)
    picture.text(16, 22, "DeepTracker", 17)
    picture.text(130, 23, str(run.path.name), 14, palettes.MUTED)
    if what == "cube":
        _cube(picture, str(first_set(run)))
    if what in ("run", "curves"):
        _curves(picture)
    if what in ("run", "layers") and not pages.missing_layers(run):
        _strips(picture, variable)
    if what in ("run", "classes") and not pages.missing_validation(run):
        _classes(picture, str(first_set(run)))
    with written(target) as aside:
        canvas.save(aside, picture.y + 12)
    return target


def _cube(picture: Picture, view: str) -> None:
    """The cube in projection, with its labels and scales."""
    found = faces(picture.run, view)
    cabinet = Cabinet(picture.run, view, found, layers_of(picture.run))
    wide, high = cabinet.projection.size
    for i, scale in enumerate(cabinet.scales):
        _scale(picture, scale, 16 + 260 * i, picture.y)
    top = picture.y + 54
    picture.canvas.picture(cabinet.picture(), LEFT, top, wide, high)
    base = top + high

    def at(*point: float) -> tuple[float, float]:
        x, y = cabinet.projection.at(*point)
        return LEFT + x, base - y

    for path in cabinet.rims():
        picture.canvas.line([at(*point) for point in path], palettes.MUTED)
    for x, y, text, anchor in cabinet.labels():
        picture.text(LEFT + x, base - y, text, 11, anchor=anchor)
    picture.text(LEFT + cabinet.projection.wide / 2, base + 32, "validation pass, by its training iteration", 11,
                 palettes.MUTED, "m")  # fmt: skip
    picture.y = base + 44


def _curves(picture: Picture) -> None:
    """Training loss on its own scale, validation error from 0, numbered events above."""
    run, top = picture.run, picture.y
    bottom = top + CURVES
    picture.canvas.box(LEFT, top, picture.width - RIGHT - 1, bottom, palettes.FAINT)
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
        picture.canvas.disc(x, top - 13, 9, colour)
        picture.text(x, top - 13, str(event["rank"]), 11, palettes.PAPER, "m")
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
    picture.canvas.line(points, colour, 1 if line == 0 else 2)
    numbers = f"{values[-1]:.1%} at the end" if line else f"{values.max():.3g} … {values.min():.3g}"
    picture.text(LEFT - 10, picture.y + 20 + 40 * line, name, 12, colour, "r")
    picture.text(LEFT - 10, picture.y + 36 + 40 * line, numbers, 11, palettes.MUTED, "r")


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
            picture.text(LEFT - 10, picture.y + height / 2 - 1, short(place.name, 26), min(12, height), anchor="r")
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
            picture.text(LEFT - 10, picture.y + height / 2, name, 11, anchor="r")
        picture.y += height
    picture.lines(top, picture.y)
    picture.axis()


def _title(picture: Picture, title: str, scale: Scale) -> None:
    """A heading at the left, the colour scale with its ends at the right."""
    picture.text(16, picture.y + 8, title, 15)
    _scale(picture, scale, picture.width - RIGHT - BAR, picture.y, beside=True)
    picture.y += 32


def _scale(picture: Picture, scale: Scale, left: float, top: float, *, beside: bool = False) -> None:
    """A colour bar with its ticks under it, its title above or beside it."""
    if beside:
        picture.text(left - 10, top + 8, scale.title, 11, palettes.MUTED, "r")
    else:
        picture.text(left, top - 6, scale.title, 11, palettes.MUTED)
    picture.canvas.picture(palettes.rgb(scale.colours)[None], left, top + 4, BAR, 9)
    for value, text in scale.ticks:
        place = float(scale.place(value))
        anchor = "l" if place < 0.1 else "r" if place > 0.9 else "m"
        picture.text(left + place * BAR, top + 21, text, 10, anchor=anchor)


def _round_numbers(start: float, stop: float) -> NDArray[np.float64]:
    step = 10 ** np.floor(np.log10(max(stop - start, 1)))
    while (stop - start) / step < 5:
        step /= 2
    return np.arange(np.ceil(start / step) * step, stop + 0.5, max(1.0, np.floor(step)))


__all__ = ["figure"]
