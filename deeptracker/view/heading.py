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


def heading(title: str, text: str, scales: Sequence[Scale] = (), signs: Sequence[str] = (), **options: object) -> Div:
    """A title with one sentence under it, and the legends of ``scales`` and ``signs`` (HTML) at the right."""
    return Div(
        text=html(title, text, scales, signs),
        sizing_mode="stretch_width",
        margin=(10, 0, 2, 0),
        stylesheets=[FULL],
        **options,
    )


def html(title: str, text: str, scales: Sequence[Scale] = (), signs: Sequence[str] = ()) -> str:
    """The HTML of a heading; ``text`` may hold markup, everything else is escaped."""
    legends = "".join([*(legend(scale) for scale in scales), *(f"<span>{sign}</span>" for sign in signs)])
    return (
        f'<div style="font-family:{FONT};color:{palettes.INK};display:flex;flex-wrap:wrap;gap:4px 28px;'
        'align-items:flex-end;justify-content:space-between;width:100%">'
        f'<div style="flex:1 1 300px">'
        f'<div style="font-size:15px;font-weight:600">{escape(title)}</div>'
        f'<div style="font-size:12px;color:{palettes.MUTED};line-height:1.35">{text}</div></div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:4px 22px;align-items:flex-end;font-size:11px;'
        f'color:{palettes.MUTED};padding-right:4px">{legends}</div></div>'
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
