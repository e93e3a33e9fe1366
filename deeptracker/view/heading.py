"""Headings of the views: what it is, how to read it, and the legend of its colours, in one line of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bokeh.models import Div

from deeptracker.view import palettes
from deeptracker.view.scale import Scale
from deeptracker.view.timeline import FONT

FULL = ":host > div { display: block; width: 100%; }"
"""Style sheet of a Div that fills its row; by itself Bokeh's box shrinks to its content."""


def heading(
    title: str,
    said: str,
    scales: Sequence[Scale] = (),
    signs: Sequence[str] = (),
    *,
    expression: str = "",
    hint: tuple[str, str] | None = None,
    **options: object,
) -> Div:
    """A title with one sentence under it, and the legends of ``scales`` and ``signs`` (HTML) at the right.

    Parameters
    ----------
    said : HTML; everything else is escaped.
    expression : the xarray expression behind the chart; a small button copies it.
    hint : (name of the view, what a first visit should know); it stays until it is dismissed.
    """
    legends = "".join([*(legend(scale) for scale in scales), *(f"<span>{sign}</span>" for sign in signs)])
    text = (
        f'<div style="font-family:{FONT};color:{palettes.INK};display:flex;flex-wrap:wrap;gap:4px 28px;'
        'align-items:flex-end;justify-content:space-between;width:100%">'
        f'<div style="flex:1 1 300px">'
        f'<div style="font-size:15px;font-weight:600">{escape(title)}{copy_button(expression)}</div>'
        f'<div style="font-size:12px;color:{palettes.MUTED};line-height:1.35">{said}</div></div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:4px 22px;align-items:flex-end;font-size:11px;'
        f'color:{palettes.MUTED};padding-right:4px">{legends}</div>{_hint(hint)}</div>'
    )
    return Div(text=text, sizing_mode="stretch_width", margin=(10, 0, 2, 0), stylesheets=[FULL], **options)


def copy_button(expression: str) -> str:
    """A button that copies an expression; hovering shows it."""
    if not expression:
        return ""
    style = (
        f"all:unset;cursor:pointer;margin-left:10px;font-size:11px;font-weight:400;color:{palettes.LOSS};"
        f"border:1px solid {palettes.FAINT};border-radius:4px;padding:0 6px;vertical-align:1px"
    )
    return (
        f'<button style="{style}" data-copy="{escape(expression)}" title="{escape(expression)}">copy xarray</button>'
    )


def _hint(hint: tuple[str, str] | None) -> str:
    """What a first visit should know, with a button that takes it away for good."""
    if hint is None:
        return ""
    name, text = hint
    style = (
        f"display:var(--dt-hint-{name},flex);flex:1 1 100%;gap:12px;align-items:baseline;font-size:12px;"
        f"background:#fff8e2;border:1px solid #ecd9a0;border-radius:5px;padding:4px 10px;color:{palettes.INK}"
    )
    button = f"all:unset;cursor:pointer;color:{palettes.LOSS};white-space:nowrap"
    return (
        f'<div style="{style}"><span style="flex:1 1 auto">{escape(text)}</span>'
        f'<button style="{button}" data-dismiss="{escape(name)}">got it</button></div>'
    )


def legend(scale: Scale, width: int = 190) -> str:
    """A colour bar with its title and ticks, as HTML."""
    ticks = ""
    for value, text in scale.ticks:
        place = float(scale.place(value)) * 100
        shift = 0 if place < 8 else 100 if place > 92 else 50
        ticks += (
            f'<span style="position:absolute;left:{place:.1f}%;transform:translateX(-{shift}%);white-space:nowrap">'
            f"{escape(text)}</span>"
        )
    return (
        f'<div style="width:{width}px"><div style="white-space:nowrap">{escape(scale.title)}</div>'
        f'<div style="height:9px;border-radius:2px;border:1px solid {palettes.FAINT};'
        f'background:{scale.gradient()}"></div>'
        f'<div style="position:relative;height:13px;color:{palettes.INK}">{ticks}</div></div>'
    )


def sign(symbol: str, colour: str, text: str) -> str:
    """A symbol with its meaning, as HTML."""
    return f'<span style="white-space:nowrap"><b style="color:{colour}">{escape(symbol)}</b> {escape(text)}</span>'


def note(text: str, *, width: int | None = None) -> Div:
    """A calm box in place of a view that has nothing to show: what is missing, and what brings it."""
    return Div(
        text=f'<div style="font-family:{FONT};font-size:13px;line-height:1.5;color:{palettes.MUTED};'
        f"border:1px dashed {palettes.FAINT};border-radius:6px;padding:14px 18px;margin:4px 0;"
        f'background:#fafbfc">{text}</div>',
        sizing_mode="stretch_width",
        stylesheets=[FULL],
        **({"width": width} if width else {}),
    )
