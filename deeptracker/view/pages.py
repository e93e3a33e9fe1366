"""The views as whole layouts, each with its heading and legend; a view without data says what brings it."""

from __future__ import annotations

from typing import Any

from bokeh.layouts import column

from deeptracker.view import palettes, words
from deeptracker.view.answers import first_set
from deeptracker.view.classes import ClassRows
from deeptracker.view.cube import Cube
from deeptracker.view.events import anomalies
from deeptracker.view.filters import LayerFilters
from deeptracker.view.flips import class_of
from deeptracker.view.heading import heading, note, sign
from deeptracker.view.images import ClassImages
from deeptracker.view.overview import overview as band
from deeptracker.view.pixels import PixelChart
from deeptracker.view.strips import Strips
from deeptracker.view.timeline import Timeline

LAYERS = "Each strip is a layer, its rows are filters, those that changed most on top."
VALIDATION = "Each row is a class of validation images; ink is the share answered wrongly."
CUBE = "Which layers were abnormal when which classes changed their answers: three faces that share their edges."


def overview(run: Any, timeline: Timeline | None = None) -> Any:
    """Loss, validation error, learning rate and ranked events over the whole run, as a Bokeh layout."""
    return band(run, timeline).layout


def layers(
    run: Any,
    timeline: Timeline | None = None,
    *,
    variable: str = "update_angle",
    show: str = "change",
    aggregate: str = "max",
    layer: str | None = None,
) -> Any:
    """All layers over time, and the filters of one of them.

    Parameters
    ----------
    run : an opened run.
    timeline : share it to link this view with others; default: one of its own.
    variable : statistic per filter, as in ``run.filters``.
    show : ``change`` (log₂ of the ratio to the filter's running median) or ``value``.
    aggregate : what a row keeps of the filters it joins: ``max`` (the farthest from usual) or ``mean``.
    layer : the layer opened below; default: that of the strongest event.

    Returns
    -------
    A Bokeh layout. Values are those of ``run.filters[variable]``; NaN is drawn grey.

    Raises
    ------
    InputError : no such statistic, layer or kind.
    """
    timeline = timeline or Timeline(run)
    missing = missing_layers(run)
    if missing:
        return note(missing)
    strips = Strips(run, timeline, variable=variable, show=show, aggregate=aggregate)
    detail = LayerFilters(run, timeline, layer=layer or suspect(run), variable=variable, shown=show)
    detail.pick_in_browser()
    text = f"{LAYERS} Shown: {words.statistic(variable)}. Drag to zoom, double-click for the whole run."
    return column(
        heading("Layers", text, [strips.scale]),
        *strips.figures,
        heading("Filters of one layer", "Every filter is a row; tap one to see its series."),
        detail.layout,
        sizing_mode="stretch_width",
        spacing=0,
    )


def validation(
    run: Any, timeline: Timeline | None = None, *, view: str | None = None, label: str | None = None
) -> Any:
    """Answers on a validation set: classes, every image, and the images of one class.

    Parameters
    ----------
    view : ``<set>/<weights>``, default the first one.
    label : name of the class opened below; default: that of the strongest event.
    """
    timeline, view = timeline or Timeline(run), view or first_set(run)
    missing = missing_validation(run)
    if missing or view is None:
        return note(missing)
    rows = ClassRows(run, view, timeline)
    names = list(rows.classes.names)
    wanted = label if label is not None else suspect_class(run)
    index = names.index(str(wanted)) if str(wanted) in names else 0
    return column(
        heading("Classes", VALIDATION, [rows.scale], class_signs()),
        rows.plot,
        PixelChart(run, view, timeline).plot,
        ClassImages(run, view, timeline, index=index).plot,
        sizing_mode="stretch_width",
        spacing=0,
    )


def cube(run: Any, timeline: Timeline | None = None, *, view: str | None = None) -> Any:
    """Classes × time, layers × time and layers × classes on shared edges."""
    timeline, view = timeline or Timeline(run), view or first_set(run)
    missing = missing_cube(run)
    if missing or view is None:
        return note(missing)
    return column(
        heading("Layers and classes", CUBE), Cube(run, view, timeline).layout, sizing_mode="stretch_width", spacing=0
    )


def class_signs() -> list[str]:
    """Legend of the marks on the class rows."""
    return [
        sign("◀", palettes.MUTED, "changed after a constant stretch")
        + "<br>"
        + sign("▶", palettes.MUTED, "changed, then stayed"),
        sign("■", palettes.GAIN, "images turned right") + "<br>" + sign("■", palettes.LOST, "images turned wrong"),
    ]


def suspect(run: Any) -> str | None:
    """Layer of the strongest event that names one."""
    return next((str(e["layers"][0]) for e in anomalies(run) if e.get("layers")), None)


def suspect_class(run: Any) -> str | None:
    """Class of the strongest event that has one."""
    view = first_set(run)
    found = (class_of(run, view, event) for event in anomalies(run)) if view is not None else iter(())
    return next((name for name in found if name is not None), None)


def missing_layers(run: Any) -> str:
    """Why there are no layers to show, or an empty string."""
    if run.has("filters/dense") and run.has("architecture") and run.dataset("filters/dense").sizes["iteration"]:
        return ""
    return (
        "No filters recorded yet. They come with the first <code>recorder.step(step, loss=loss)</code> that is due."
    )


def missing_validation(run: Any) -> str:
    """Why there is no validation to show, or an empty string."""
    if first_set(run) is not None and run.dataset(f"validation/{first_set(run)}").sizes["validation"]:
        return ""
    return (
        "No validation answers in this run. <code>recorder.validate(step, loader)</code> or "
        "<code>recorder.validation(step, predicted=…)</code> records them; "
        "<code>recorder.images(target=…, classes=…, thumbnails=…)</code> adds classes and pictures."
    )


def missing_cube(run: Any) -> str:
    """Why there is no cube, or an empty string."""
    view = first_set(run)
    if view is not None and run.has(f"correlation/validation/{view}/passes"):
        return ""
    if view is None:
        return "Without validation answers there is nothing to relate the layers to. " + missing_validation(run)
    return f"Not analysed yet. <code>deeptracker analyze {run.path}</code> relates layers to classes."
