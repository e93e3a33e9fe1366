"""Small controls in a line: lists to choose from, switches, boxes for text. They follow a state, and change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import param
from panel.custom import JSComponent

from deeptracker.view import palettes
from deeptracker.view.timeline import FONT

Options = Sequence[tuple[str, str]]
"""(value, text) pairs."""


class Controls(JSComponent):
    """``fields`` describe the controls, ``values`` holds what is chosen; both sides may set it."""

    fields = param.List([])
    values = param.Dict(default={})
    start = param.Boolean(default=False, doc="whether the line begins at the left")

    _stylesheets = [  # noqa: RUF012
        f"""
:host {{ display: block; font: 12px {FONT}; color: {palettes.INK}; }}
form {{ display: flex; flex-wrap: wrap; gap: 5px 14px; align-items: center; justify-content: flex-end; margin: 0; }}
label {{ display: inline-flex; gap: 6px; align-items: center; color: {palettes.MUTED}; white-space: nowrap; }}
select, input[type=text], button {{ font: inherit; color: {palettes.INK}; background: #fff; height: 25px;
  border: 1px solid {palettes.FAINT}; border-radius: 5px; padding: 0 6px; box-sizing: border-box; }}
select {{ max-width: 330px; }}
input[type=text] {{ width: 150px; }}
input.bad {{ border-color: {palettes.LOST}; }}
span.group {{ display: inline-flex; }}
span.group button {{ border-radius: 0; margin-left: -1px; cursor: pointer; padding: 0 9px; }}
span.group button:first-child {{ border-radius: 5px 0 0 5px; margin-left: 0; }}
span.group button:last-child {{ border-radius: 0 5px 5px 0; }}
button[aria-pressed=true] {{ background: {palettes.INK}; color: #fff; border-color: {palettes.INK}; }}
:focus-visible {{ outline: 2px solid {palettes.LOSS}; outline-offset: 1px; }}
"""
    ]
    _esm = """
export function render({ model }) {
  const form = document.createElement('form')
  form.addEventListener('submit', event => event.preventDefault())
  const set = (key, value) => { model.values = { ...model.values, [key]: value } }
  const make = {
    select(field) {
      const list = document.createElement('select')
      for (const [value, text] of field.options) list.add(new Option(text, value))
      list.value = model.values[field.key]
      list.onchange = () => set(field.key, list.value)
      return list
    },
    buttons(field) {
      const group = document.createElement('span')
      group.className = 'group'
      group.setAttribute('role', 'group')
      for (const [value, text] of field.options) {
        const button = document.createElement('button')
        button.type = 'button'
        button.textContent = text
        button.setAttribute('aria-pressed', String(model.values[field.key] === value))
        button.onclick = () => set(field.key, value)
        group.append(button)
      }
      return group
    },
    check(field) {
      const box = document.createElement('input')
      box.type = 'checkbox'
      box.checked = Boolean(model.values[field.key])
      box.onchange = () => set(field.key, box.checked)
      return box
    },
    text(field) {
      const box = document.createElement('input')
      box.type = 'text'
      box.placeholder = field.hint || ''
      box.value = model.values[field.key] || ''
      box.onchange = () => set(field.key, box.value)
      return box
    },
    button(field) {
      const button = document.createElement('button')
      button.type = 'button'
      button.textContent = field.text
      button.onclick = () => set(field.key, (model.values[field.key] || 0) + 1)
      return button
    },
  }
  if (model.start) form.style.justifyContent = 'flex-start'
  const draw = () => {
    const active = form.getRootNode().activeElement?.dataset?.key
    form.replaceChildren(...model.fields.map(field => {
      const label = document.createElement(field.kind == 'buttons' || field.kind == 'button' ? 'span' : 'label')
      label.style.cssText = 'display:inline-flex;gap:6px;align-items:center'
      if (field.label) label.append(field.label)
      const control = make[field.kind](field)
      control.dataset.key = field.key
      control.setAttribute('aria-label', field.label || field.key)
      if (field.tip) control.title = field.tip
      label.append(control)
      return label
    }))
    if (active) form.querySelector(`[data-key="${CSS.escape(active)}"]`)?.focus()
  }
  draw()
  model.on('values', draw)
  model.on('fields', draw)
  return form
}
"""


def select(key: str, options: Options, label: str = "", tip: str = "") -> dict[str, Any]:
    """A list to choose one value from."""
    return {"kind": "select", "key": key, "label": label, "options": [list(one) for one in options], "tip": tip}


def buttons(key: str, options: Options, label: str = "", tip: str = "") -> dict[str, Any]:
    """A few values side by side."""
    return {"kind": "buttons", "key": key, "label": label, "options": [list(one) for one in options], "tip": tip}


def check(key: str, label: str, tip: str = "") -> dict[str, Any]:
    """A box to tick."""
    return {"kind": "check", "key": key, "label": label, "tip": tip}


def text(key: str, label: str, hint: str = "", tip: str = "") -> dict[str, Any]:
    """A line of text, taken when it is left or on Enter."""
    return {"kind": "text", "key": key, "label": label, "hint": hint, "tip": tip}


def bound(
    state: Any, fields: Sequence[dict[str, Any]], usual: Callable[[str], Any] | None = None, **options: Any
) -> Controls:
    """Controls whose keys are parameters of ``state``.

    ``usual`` gives what a parameter stands for while it is empty, so that the control shows it.
    """
    keys = [field["key"] for field in fields]

    def now() -> dict[str, Any]:
        return {key: getattr(state, key) or (usual(key) if usual else None) or getattr(state, key) for key in keys}

    shown = Controls(fields=list(fields), values=now(), **options)

    def chosen(change: Any) -> None:
        new = {key: change.new.get(key) for key in keys if change.new.get(key) != now()[key]}
        for key, value in new.items():
            try:
                state.param.update(**{key: value})
            except ValueError:  # from a page that was tampered with
                shown.values = now()

    shown.param.watch(chosen, "values")
    state.param.watch(lambda *_: setattr(shown, "values", now()), keys)
    return shown


def words_of(names: Iterable[str], say: Callable[[str], str]) -> list[tuple[str, str]]:
    """Options of names with their meaning in words."""
    return [(name, f"{say(name)} ({name})" if say(name) != name else name) for name in names]


__all__ = ["Controls", "bound", "buttons", "check", "select", "text", "words_of"]
