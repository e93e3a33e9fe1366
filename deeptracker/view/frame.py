"""The HTML around a page: header, list at the left, views at the right; light, and readable without a manual."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from deeptracker.screen import sizes
from deeptracker.view import palettes, words
from deeptracker.view.timeline import FONT

STYLE = f"""
html, body {{ margin: 0; height: 100%; background: #f4f5f7; color: {palettes.INK}; font-family: {FONT}; }}
.dt-page {{ display: grid; height: 100vh; grid-template: auto minmax(0, 1fr) / minmax(270px, 21vw) minmax(0, 1fr); }}
.dt-head {{ grid-column: 1 / 3; background: {palettes.INK}; color: #fff; padding: 9px 18px; }}
.dt-list {{ overflow-y: auto; padding: 10px 10px 24px 14px; }}
.dt-main {{ display: grid; grid-template-rows: auto minmax(0, 1fr); min-width: 0; background: #fff;
  border-left: 1px solid {palettes.FAINT}; }}
.dt-band {{ padding: 4px 12px 2px 12px; border-bottom: 1px solid {palettes.FAINT}; min-width: 0;
  box-shadow: 0 2px 6px rgba(20, 30, 50, .06); z-index: 2; }}
.dt-line {{ display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 24px; padding: 3px 0; }}
.dt-line > div:first-child {{ flex: 1 1 320px; min-width: 0; }}
.dt-views {{ overflow-y: auto; overflow-x: hidden; padding: 0 12px 40px 12px; min-width: 0; }}
.dt-wide {{ padding: 6px 18px 40px; background: #fff; }}
.dt-single {{ max-width: 1180px; margin: 0 auto; padding: 16px; }}
.dt-dark body {{ background: #14171b; }}
.dt-dark {{ --dt-image-filter: invert(1) hue-rotate(180deg); }}
.dt-dark .dt-page > .dt-list, .dt-dark .dt-page > .dt-main, .dt-dark .dt-single, .dt-dark .dt-wide {{
  filter: invert(0.92) hue-rotate(180deg); }}
#dt-keys {{ position: fixed; right: 22px; bottom: 22px; z-index: 9; background: {palettes.INK}; color: #fff;
  border-radius: 8px; padding: 12px 16px; font: 13px {FONT}; box-shadow: 0 4px 18px rgba(0, 0, 0, .3); }}
#dt-keys div {{ display: flex; gap: 14px; padding: 3px 0; }}
#dt-keys kbd {{ min-width: 56px; font: inherit; color: #cdd5de; }}
a {{ color: {palettes.LOSS}; }}
@media (max-width: 900px) {{ .dt-page {{ display: block; height: auto; }} }}
"""


def head_html(run: Any, jumps: Sequence[tuple[str, str]] = ()) -> str:
    """The dark line on top: the product, the run, its size, and ``jumps``: (name of a view, its title)."""
    facts = [str(run.attributes.get("model") or "")]
    if run.has("architecture"):
        net = sizes(run, "architecture")
        facts += [words.count(net["layer"], "layer")]
        if filters := net.get("filter", 0):
            facts.append(words.count(filters, "filter"))
    if run.has("filters/dense"):
        facts.append(words.count(sizes(run, "filters/dense")["iteration"], "recorded iteration"))
    for view in run.validation_sets[:1]:
        seen = sizes(run, f"validation/{view}")
        facts.append(f"{words.count(seen['validation'], 'validation pass')} of {words.count(seen['image'], 'image')}")
    text = " · ".join(escape(fact) for fact in facts if fact)
    return (
        f'<div style="font-family:{FONT};display:flex;gap:4px 18px;flex-wrap:wrap;align-items:baseline;color:#fff">'
        f'<span style="font-weight:700;font-size:15px">DeepTracker</span>'
        f'<span style="font-size:14px" title="{escape(str(run.path))}">{escape(run.path.name)}</span>'
        f'<span style="font-size:12px;color:#b9c2ce;flex:1 1 auto">{text}</span>'
        f"{''.join(_jump(name, title) for name, title in jumps)}"
        f"{_button('act', 'theme', '◐', 'dark or light (d)')}{_button('act', 'keys', '?', 'keys (?)')}</div>"
    )


def _jump(name: str, title: str) -> str:
    return _button("go", name, title, f"jump to {title}")


def _button(kind: str, value: str, text: str, tip: str) -> str:
    """A quiet button on the dark line; ``behaviour.SCRIPT`` does what its data ask for."""
    style = "all:unset;cursor:pointer;font-size:12px;color:#cdd5de"
    return (
        f'<button style="{style}" data-{kind}="{escape(value)}" title="{escape(tip)}" aria-label="{escape(tip)}">'
        f"{escape(text)}</button>"
    )
