"""What is selected, as chips that can be taken away."""

from __future__ import annotations

from typing import Any

import param
from panel.custom import JSComponent

from deeptracker.app.state import State
from deeptracker.view import palettes, words
from deeptracker.view.timeline import FONT

KINDS = {"layers": "layer", "filters": "filter", "classes": "", "images": "image", "pins": "pin", "opened": "opened"}


class Chips(JSComponent):
    """``chips`` are ``[name, value, text]``; a click on a cross, or on "clear", is told to ``removed``."""

    chips = param.List([])
    said = param.String("", doc="what else is to be said in the line")
    none = param.String("Nothing selected. Click an event, a layer, a class or an image; drag for iterations.")

    _stylesheets = [  # noqa: RUF012
        f"""
:host {{ display: block; font: 12px {FONT}; color: {palettes.INK}; }}
div {{ display: flex; gap: 6px; align-items: center; height: 27px; overflow-x: auto; scrollbar-width: none; }}
div > * {{ flex: none; }}
span.none, span.said {{ color: {palettes.MUTED}; }}
span.chip {{ display: inline-flex; align-items: center; gap: 5px; background: #f4e3ee; border-radius: 12px;
  padding: 2px 4px 2px 10px; max-width: 320px; }}
span.chip b {{ font-weight: 500; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
button {{ all: unset; cursor: pointer; border-radius: 9px; width: 17px; height: 17px; line-height: 16px;
  text-align: center; color: {palettes.SELECTED}; }}
button.clear {{ width: auto; padding: 0 6px; color: {palettes.MUTED}; text-decoration: underline; }}
button:hover {{ background: #fff; }}
button:focus-visible {{ outline: 2px solid {palettes.LOSS}; }}
"""
    ]
    _esm = """
export function render({ model }) {
  const box = document.createElement('div')
  const piece = (tag, cls, text) => {
    const made = document.createElement(tag)
    made.className = cls
    made.textContent = text
    return made
  }
  const draw = () => {
    box.replaceChildren()
    if (model.chips.length > 1) {  // first, so that it is seen however many there are
      const clear = piece('button', 'clear', 'clear')
      clear.onclick = () => model.send_msg(['', ''])
      box.append(clear)
    }
    box.append(...model.chips.map(([name, value, text]) => {
      const chip = piece('span', 'chip', '')
      const cross = piece('button', '', '×')
      cross.setAttribute('aria-label', `remove ${text}`)
      cross.onclick = () => model.send_msg([name, value])
      const word = piece('b', '', text)
      word.title = text
      chip.append(word, cross)
      return chip
    }))
    if (!model.chips.length) box.append(piece('span', 'none', model.none))
    if (model.said) box.append(piece('span', 'said', model.said))
  }
  draw()
  const clear = () => model.send_msg(['', ''])
  window.addEventListener('dt-clear', clear)
  model.on('remove', () => window.removeEventListener('dt-clear', clear))
  model.on('chips', draw)
  model.on('said', draw)
  return box
}
"""

    def __init__(self, state: State, events: dict[int, dict[str, Any]], **options: Any) -> None:
        super().__init__(**options)
        self._selected, self._ranked = state, events
        state.param.watch(lambda *_: self.draw(), [n for n in state.param if n in _SHOWN])
        self.draw()

    def draw(self) -> None:
        """Say what is selected now."""
        state, chips = self._selected, []
        if state.event:
            cause = words.cause(self._ranked[state.event]["cause"]) if state.event in self._ranked else ""
            chips.append(["event", str(state.event), f"event {state.event} · {cause}"])
        if state.start is not None and state.stop is not None:
            chips.append(["span", "", f"iterations {state.start:,.0f} – {state.stop:,.0f}"])
        for name, noun in KINDS.items():
            for value in getattr(state, name):
                text = words.class_name(value) if name == "classes" else f"{noun} {_shown(name, value)}"
                chips.append([name, str(value), text])
        self.chips = chips

    def _handle_msg(self, data: Any) -> None:
        if not (isinstance(data, list) and len(data) == 2):
            return
        name, value = str(data[0]), str(data[1])
        if not name:
            self._selected.clear()
        elif name == "span" or name in _SHOWN:
            self._selected.remove(name, value)


_SHOWN = ("event", "start", "stop", *KINDS)


def _shown(name: str, value: Any) -> str:
    if name == "pins":
        return f"{value:,}"
    if name == "filters":
        layer, _, channel = str(value).rpartition(":")
        return f"{channel} of {layer}"
    return str(value)


__all__ = ["Chips"]
