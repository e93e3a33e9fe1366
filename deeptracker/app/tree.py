"""The net as a tree of stages, blocks and layers; a click on a layer selects it."""

from __future__ import annotations

from typing import Any

import param
from panel.custom import JSComponent

from deeptracker.app.state import State
from deeptracker.view import palettes
from deeptracker.view.timeline import FONT


class Tree(JSComponent):
    """``rows`` are ``{"level", "name", "text"}`` from top to bottom; ``chosen`` are names of layers."""

    rows = param.List([])
    chosen = param.List([])

    _stylesheets = [  # noqa: RUF012
        f"""
:host {{ display: block; font: 12px {FONT}; color: {palettes.INK}; }}
div.box {{ max-height: 340px; overflow-y: auto; border: 1px solid {palettes.FAINT}; border-radius: 6px;
  padding: 4px 0; }}
div.row {{ display: flex; gap: 10px; padding: 2px 10px; align-items: baseline; }}
div.row span {{ color: {palettes.MUTED}; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
button {{ all: unset; cursor: pointer; white-space: nowrap; }}
button:hover {{ text-decoration: underline; }}
button:focus-visible {{ outline: 2px solid {palettes.LOSS}; }}
.level0 button {{ font-weight: 600; }}
.chosen {{ background: #f4e3ee; }}
"""
    ]
    _esm = """
export function render({ model }) {
  const box = document.createElement('div')
  box.className = 'box'
  const closed = new Set()
  const draw = () => {
    box.replaceChildren()
    let hidden = 9
    for (const row of model.rows) {
      if (row.level <= hidden) hidden = 9
      if (row.level > hidden) continue
      const line = document.createElement('div')
      line.className = `row level${row.level}` + (row.level == 2 && model.chosen.includes(row.name) ? ' chosen' : '')
      line.style.paddingLeft = `${10 + 20 * row.level}px`
      const button = document.createElement('button')
      const key = row.level + row.name, folds = row.level < 2
      button.textContent = (folds ? (closed.has(key) ? '▸ ' : '▾ ') : '') + row.name
      if (folds) button.setAttribute('aria-expanded', String(!closed.has(key)))
      button.onclick = event => {
        if (!folds) return model.send_msg([row.name, event.shiftKey])
        if (!closed.delete(key)) closed.add(key)
        draw()
      }
      const text = document.createElement('span')
      text.textContent = row.text
      line.append(button, text)
      box.append(line)
      if (folds && closed.has(key)) hidden = row.level
    }
  }
  draw()
  model.on('chosen', draw)
  model.on('rows', draw)
  return box
}
"""

    def __init__(self, state: State, rows: list[dict[str, Any]], **options: Any) -> None:
        super().__init__(rows=rows, chosen=list(state.layers), **options)
        self._state = state
        state.param.watch(lambda change: self.param.update(chosen=list(change.new)), "layers")

    def _handle_msg(self, data: Any) -> None:
        if isinstance(data, list) and len(data) == 2 and any(row["name"] == data[0] for row in self.rows):
            self._state.add("layers", data[0], keep=bool(data[1]))


__all__ = ["Tree"]
