"""The views as whole layouts, each with its heading and legend; a view without data says what brings it."""

from __future__ import annotations

from typing import Any

from bokeh.layouts import column

from deeptracker.screen import sizes
from deeptracker.screen.answers import first_set
from deeptracker.view import palettes, words
from deeptracker.view.answers.classes import ClassRows
from deeptracker.view.answers.flips import class_of
from deeptracker.view.answers.images import ClassImages
from deeptracker.view.answers.pixels import PixelChart
from deeptracker.view.band.overview import overview as band
from deeptracker.view.event.events import anomalies
from deeptracker.view.faces.cube import Cube
from deeptracker.view.heading import heading, note, sign
from deeptracker.view.network.filters import LayerFilters
from deeptracker.view.network.strips import Strips
from deeptracker.view.notebook import shown
from deeptracker.view.timeline import Timeline

LAYERS = "Each strip is a layer, its rows are filters, those that changed most on top."
WHOLE_LAYERS = "Each row is a layer as a whole."
FILTERS = "Every filter is a row; click one to see its series."
VALIDATION = "Each row is a class of validation images; ink is the share answered wrongly."
CUBE = "Which layers were abnormal when which classes changed their answers: three faces that share their edges."


@shown
def overview(run: Any, timeline: Timeline | None = None) -> Any:
    """Loss, validation error, learning rate and ranked events over the whole run, as a Bokeh layout."""
    return band(run, timeline).layout


@shown
def layers(
    run: Any,
    timeline: Timeline | None = None,
    *,
    variable: str | None = None,
    show: str | None = None,
    aggregate: str = "max",
    layer: str | None = None,
) -> Any:
    """All layers over time, and the filters of one of them.

    Parameters
    ----------
    run : an opened run.
    timeline : share it to link this view with others; default: one of its own.
    variable : statistic per filter, as in ``run.filters``; default: the angle of the update, where there is one.
    show : ``change`` (log₂ of the ratio to the filter's running median) or ``value``, the default under 50 records.
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
    told = words.statistic(strips.values.variable)
    text = f"{layers_text(run)} Shown: {told}. Drag to zoom, double-click for the whole run."
    return column(
        heading("Layers", text, [strips.scale]),
        *strips.figures,
        heading("Filters of one layer", FILTERS),
        *_filters(run, timeline, layer, variable, show),
        sizing_mode="stretch_width",
        spacing=0,
    )


def _filters(run: Any, timeline: Timeline, layer: str | None, variable: str | None, show: str | None) -> list[Any]:
    missing = missing_filters(run)
    if missing:
        return [note(missing)]
    detail = LayerFilters(run, timeline, layer=layer or suspect(run), variable=variable, shown=show)
    detail.pick_in_browser()
    return [detail.layout]


@shown
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


@shown
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


def layers_text(run: Any) -> str:
    """How the strips are to be read."""
    return WHOLE_LAYERS if missing_filters(run) else LAYERS


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
    if run.has("architecture") and (run.has("filters/dense") or run.has("layers/dense")):
        return ""
    return _brought(
        run,
        "No filters recorded yet. They come with the first <code>recorder.step(step, loss=loss)</code> that is due.",
        "No weights were among what was ingested. Checkpoints (<code>.pt .safetensors .npz</code>) bring layers and "
        "their filters; histograms in TensorBoard files bring layers.",
    )


def missing_filters(run: Any) -> str:
    """Why there are layers, but no filters of theirs to show, or an empty string."""
    if run.has("filters/dense") or missing_layers(run):
        return ""
    return "Histograms tell of whole layers, not of their filters. Checkpoints bring filters."


def missing_validation(run: Any) -> str:
    """Why there is no validation to show, or an empty string."""
    if first_set(run) is not None and sizes(run, f"validation/{first_set(run)}")["validation"]:
        return ""
    return _brought(
        run,
        "No validation answers in this run. <code>recorder.validate(step, loader)</code> or "
        "<code>recorder.validation(step, predicted=…)</code> records them; "
        "<code>recorder.images(target=…, classes=…, thumbnails=…)</code> adds classes and pictures.",
        "No answers to images were among what was ingested. A table of them (<code>.npz .parquet .jsonl .csv</code> "
        "with iteration, image, target, and predicted or logits) brings classes and images.",
    )


def missing_cube(run: Any) -> str:
    """Why there is no cube, or an empty string."""
    view = first_set(run)
    if view is None:
        return "Without answers to images there is nothing to relate the layers to."
    if run.has(f"correlation/validation/{view}/front"):
        passes = sizes(run, f"correlation/validation/{view}/passes")
        return "" if passes["class"] else "The set has no images: there is nothing to relate the layers to."
    if not run.has("filters/dense"):
        return "Without filters there is nothing to relate the classes to."
    if run.has("anomalies/events") and not run.has(f"anomalies/validation/{view}/classes"):
        return "The images have no classes: there is nothing to relate the layers to."
    return (
        f"Not analysed yet. <code>deeptracker analyze {words.html(str(run.path))}</code> relates layers to classes."
    )


def _brought(run: Any, recorded: str, ingested: str) -> str:
    """What brings a part of a run: a call of the recorder, or one more kind of file to ingest."""
    return ingested if "ingest" in run.attributes else recorded
