"""The list of ranked events at the left of the explorer; a click opens one."""

from __future__ import annotations

from typing import Any

import param
from panel.custom import JSComponent

from deeptracker.view.cards import STYLE, above, below, detail, summary
from deeptracker.view.events import anomalies, labels


class EventList(JSComponent):
    """Cards in the order of their rank; ``selected`` is the rank of the open one, 0 for none."""

    cards = param.List(doc="HTML of each card: rank, summary, detail")
    before = param.String(doc="HTML above the cards")
    after = param.String(doc="HTML below the cards")
    selected = param.Integer(default=0)

    _stylesheets = [STYLE]  # noqa: RUF012
    _esm = """
export function render({ model, el }) {
  const box = document.createElement('div')
  const draw = () => {
    box.innerHTML = model.before + model.cards.map(card =>
      `<button class="card ${card.rank == model.selected ? 'open' : ''}" data-rank="${card.rank}"
        aria-expanded="${card.rank == model.selected}">${card.summary}
        ${card.rank == model.selected ? card.detail : ''}</button>`).join('') + model.after
    for (const card of box.querySelectorAll('button.card'))
      card.onclick = event => {
        if (event.target.tagName == 'CODE') return
        const rank = Number(card.dataset.rank)
        model.selected = model.selected == rank ? 0 : rank
      }
  }
  draw()
  model.on('selected', draw)
  model.on('cards', draw)
  return box
}
"""


def event_list(run: Any) -> EventList:
    """The list for a run; without an analysis it says which command makes one."""
    found = anomalies(run)
    content = [{"rank": int(e["rank"]), "summary": summary(e), "detail": detail(run, e)} for e in found]
    return EventList(
        cards=content,
        before=above(run, found),
        after=below(labels(run)),
        sizing_mode="stretch_width",
        margin=0,
    )
