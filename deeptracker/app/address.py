"""The address of the page follows what it shows, and the other way round: links, back and forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import param
from panel.custom import JSComponent

from deeptracker.app.state import Query

QUIET = {"start", "stop"}
"""Changes of these alone replace the entry of the history: a zoom is no page of its own."""


class Address(JSComponent):
    """Invisible. ``place`` is ``{"query": text, "replace": bool}``, set by either side."""

    place = param.Dict(default={"query": "", "replace": True})

    _esm = """
export function render({ model, el }) {
  const here = () => window.location.search.replace(/^\\?/, '')
  const write = () => {
    const { query, replace } = model.place
    if (query === here()) return
    const url = window.location.pathname + (query ? '?' + query : '') + window.location.hash
    if (replace) window.history.replaceState({}, '', url)
    else window.history.pushState({}, '', url)
  }
  write()
  model.on('place', write)
  const back = () => { model.place = { query: here(), replace: true } }
  window.addEventListener('popstate', back)
  model.on('remove', () => window.removeEventListener('popstate', back))
}
"""


def addressed(
    state: Query,
    arguments: Mapping[str, Sequence[bytes]],
    known: Mapping[str, Sequence[str]],
) -> tuple[Address, list[str]]:
    """Make ``state`` what the address says, and keep both together.

    Parameters
    ----------
    arguments : of the request, as the server gives them; ``run`` and what is not ours is kept in the address.
    known : names that exist, see ``State.take``.

    Returns
    -------
    The component, and what the address names and the run does not have.
    """
    pairs = [(name, one.decode("utf-8", "replace")) for name, values in arguments.items() for one in values]
    ours = set(state.param)
    kept = [(name, value) for name, value in pairs if name not in ours and not name.startswith("bokeh-")]
    busy = [False]

    def whole() -> str:
        return "&".join(part for part in (urlencode(kept), state.query()) if part)

    def take(query: str) -> list[str]:
        busy[0] = True
        try:
            return state.take(query, known)
        finally:
            busy[0] = False

    left_out = take(urlencode([(name, value) for name, value in pairs if name in ours]))
    address = Address(place={"query": whole(), "replace": True})

    def changed(*changes: Any) -> None:
        if not busy[0] and (query := whole()) != address.place["query"]:
            address.place = {"query": query, "replace": {change.name for change in changes} <= QUIET}

    def went(change: Any) -> None:
        if change.new["query"] != whole():
            given = parse_qsl(change.new["query"], keep_blank_values=True, max_num_fields=2000)
            take(urlencode([(name, value) for name, value in given if name in ours]))

    state.param.watch(changed, [name for name in state.param if name != "name"])
    address.param.watch(went, "place")
    return address, left_out


__all__ = ["Address", "addressed"]
