"""Single charts as HoloViews elements, to lay out, restyle and combine in a notebook.

Zooming reads again, at the level that the screen needs, so an element of a log of any length is ready at once;
Datashader draws what was read. Without a running kernel (an exported notebook) the first picture stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deeptracker.errors import InputError, MissingExtraError
from deeptracker.screen import read, units, variables
from deeptracker.screen.answers import classes_of, error_by_class, first_set
from deeptracker.view import palettes, words
from deeptracker.view.columns import curve as line
from deeptracker.view.network.layer_values import group_with, opening
from deeptracker.view.pages import missing_filters, missing_layers, missing_validation, suspect
from deeptracker.view.places import layers_of

try:
    import datashader
    import holoviews as hv
    from holoviews.operation.datashader import rasterize
except ImportError as error:
    raise MissingExtraError(
        f'elements need HoloViews and Datashader ({error.name} is missing): pip install "deeptracker[view]"'
    ) from error

WIDTH, HEIGHT, LOW = 860, 260, 200


def filters(run: Any, layer: str | None = None, variable: str | None = None) -> Any:
    """Every filter of a layer over time.

    Parameters
    ----------
    run : an opened run.
    layer : default: that of the strongest event, else the first one.
    variable : statistic per filter, as in ``run.filters``; default: the angle of the update, where there is one.

    Returns
    -------
    A ``DynamicMap`` of an ``Image`` over (iteration, channel), rasterised by Datashader: a pixel holds the largest of
    the values that fall into it, NaN where there is none. Units are those of ``run.filters[variable]``. Of bins,
    where the zoom reads the index, the largest value counts.

    Raises
    ------
    InputError : no such layer or statistic, or a run without filters.
    """
    if missing := missing_layers(run) or missing_filters(run):
        raise InputError(words.plain(missing))
    places = {place.name: place for place in layers_of(run)}
    name = layer if layer is not None else suspect(run) or next(iter(places))
    if name not in places:
        raise InputError(f"no layer {name!r}; the run has {words.some(list(places), 6)}")
    chosen = variable or opening(run)[0]
    group, part = group_with(run, chosen, "filter"), places[name].along("filter")
    value = hv.Dimension(chosen, unit=_unit(run, group, chosen))

    def mesh(x_range: tuple[float, float] | None) -> Any:
        first, last = x_range or (None, None)
        data = read(run, group, [chosen], first, last, WIDTH, select={"filter": part})
        numbers = np.asarray(data[chosen].values[-1], dtype=np.float32)  # (iteration, filter)
        at = np.asarray(data["iteration"].values, dtype=np.float64)
        if len(at) == 1:  # a mesh needs two columns
            at, numbers = np.r_[at, at + 1], np.repeat(numbers, 2, axis=0)
        return hv.QuadMesh((at, np.arange(numbers.shape[1]), numbers.T), ["iteration", "channel"], value)

    zoomed = hv.DynamicMap(mesh, streams=[hv.streams.RangeX()])
    drawn = rasterize(zoomed, aggregator=datashader.max(chosen), width=WIDTH, height=HEIGHT, dynamic=True)
    options = {"cmap": list(palettes.VALUE), "clipping_colors": {"NaN": palettes.MISSING}, "title": name}
    return drawn.opts(hv.opts.Image(width=WIDTH, height=HEIGHT, colorbar=True, tools=["hover"], **options))


def scalar(run: Any, name: str = "loss") -> Any:
    """A scalar over time.

    Parameters
    ----------
    run : an opened run.
    name : as in ``run.scalars``; of the learning rate that of the first parameter group.

    Returns
    -------
    A ``DynamicMap`` of a ``Curve`` over ``iteration``: the records, or the smallest and the largest of each pixel
    where there are more. Iterations without a number are left out.

    Raises
    ------
    InputError : no such scalar.
    """
    there = variables(run, "scalars") if run.has("scalars") else {}
    if name not in there:
        raise InputError(f"no scalar {name!r}; the run has {words.some(list(there), 8) or 'none'}")
    select = {"param_group": slice(0, 1)} if "param_group" in there[name] else None
    value = hv.Dimension(name, unit=_unit(run, "scalars", name))

    def drawn(x_range: tuple[float, float] | None) -> Any:
        first, last = x_range or (None, None)
        data = read(run, "scalars", [name], first, last, WIDTH, select=select, reductions=["min", "max"])[name]
        data = data.isel(param_group=0) if "param_group" in data.dims else data
        return hv.Curve(line(data, WIDTH), "iteration", value)

    options = {"width": WIDTH, "height": LOW, "color": palettes.LOSS, "line_width": 1.2, "tools": ["hover"]}
    return hv.DynamicMap(drawn, streams=[hv.streams.RangeX()]).opts(hv.opts.Curve(**options))


def classes(run: Any, view: str | None = None) -> Any:
    """Share of images of each class that is answered wrongly.

    Parameters
    ----------
    run : an opened run.
    view : ``<set>/<weights>``, default the first one.

    Returns
    -------
    A ``QuadMesh`` over (validation, class), in %; classes in the order of the explorer, the first on top; NaN where
    no image of a class was evaluated.

    Raises
    ------
    InputError : a run without validation answers.
    """
    view = view or first_set(run)
    if (missing := missing_validation(run)) or view is None:
        raise InputError(words.plain(missing))
    known = classes_of(run, view)
    passes, share = error_by_class(run, view, known)
    if len(passes) == 1:
        passes, share = np.r_[passes, passes + 1], np.repeat(share, 2, axis=0)
    names = [words.class_name(name) for name in known.names][::-1]
    numbers = 100 * share.T[::-1]
    value = hv.Dimension("error", unit="%", range=(0, 100))
    mesh = hv.QuadMesh((passes, np.arange(len(names)), numbers), ["validation", "class"], value)
    step = max(1, -(-len(names) // 30))
    options = {"yticks": list(enumerate(names))[::step], "cmap": list(palettes.ERROR), "colorbar": True}
    return mesh.opts(width=WIDTH, height=max(LOW, min(9 * len(names), 600)), tools=["hover"], **options)


def _unit(run: Any, group: str, name: str) -> str | None:
    unit = units(run, group, name)
    return unit if unit not in ("", "1") else None


hv.extension("bokeh", logo=False, inline=True)  # in a notebook this loads what draws the elements

__all__ = ["classes", "filters", "scalar"]
