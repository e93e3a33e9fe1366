"""The list of ranked events at the left of the explorer; a click opens one."""

from __future__ import annotations

from typing import Any

import param
from panel.custom import JSComponent

from deeptracker.view.event.cards import STYLE, above, below, card
from deeptracker.view.event.events import anomalies, labels


class EventList(JSComponent):
    """Cards in the order of their rank; ``selected`` is the rank of the open one, 0 for none."""

    cards = param.List(doc="HTML of each card")
    before = param.String(doc="HTML above the cards")
    after = param.String(doc="HTML below the cards")
    selected = param.Integer(default=0)

    _stylesheets = [STYLE]  # noqa: RUF012
    _esm = """
export function render({ model, el }) {
  const box = document.createElement('div')
  const draw = () => {
    box.innerHTML = model.before + model.cards.join('') + model.after
    for (const card of box.querySelectorAll('.card')) {
      const rank = Number(card.dataset.rank), open = rank == model.selected
      card.classList.toggle('open', open)
      card.querySelector('button').setAttribute('aria-expanded', open)
      card.querySelector(':scope > div').hidden = !open
      card.querySelector('button').onclick = () => { model.selected = open ? 0 : rank }
    }
  }
  draw()
  model.on('selected', draw)
  for (const name of ['cards', 'before', 'after']) model.on(name, draw)
  const step = event => {
    const ranks = [...box.querySelectorAll('.card')].map(card => Number(card.dataset.rank))
    const place = ranks.indexOf(model.selected) + event.detail
    if (ranks.length) model.selected = ranks[Math.max(0, Math.min(ranks.length - 1, place))]
  }
  window.addEventListener('dt-step', step)
  model.on('remove', () => window.removeEventListener('dt-step', step))
  return box
}
"""


def cards_of(run: Any) -> list[str]:
    """HTML of each event's card; its pictures are on its page."""
    return [card(run, event, shows=False) for event in anomalies(run)]


def event_list(run: Any) -> EventList:
    """The list for a run; without an analysis it says which command makes one."""
    found = anomalies(run)
    return EventList(
        cards=cards_of(run),
        before=above(run, found),
        after=below(labels(run)),
        sizing_mode="stretch_width",
        margin=0,
    )
