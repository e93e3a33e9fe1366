"""What of a page is in sight, and how wide it is, as the browser tells."""

from __future__ import annotations

import param
from panel.custom import JSComponent

NEAR = 700
"""Pixels under and over the window that count as sight: what is there is ready when it is scrolled to."""


class Sight(JSComponent):
    """Invisible. ``seen`` are those of ``sections`` (names of the page's roots) that are in sight, or nearly: what is
    nearest to the middle of the window comes first. ``wide``: pixels of the screen from left to right of a section.
    """

    sections = param.List([])
    seen = param.List([])
    near = param.Integer(NEAR)
    wide = param.Integer(0)

    _esm = """
export function render({ model }) {
  const near = new Map(), found = new Map()
  const scrolls = el => !el || /auto|scroll/.test(getComputedStyle(el).overflowY) ? el : scrolls(el.parentElement)
  let watch = null, later = 0
  const measure = () => {
    const el = [...found.values()].find(one => one.offsetWidth > 0)
    if (el) model.wide = Math.round(el.offsetWidth * window.devicePixelRatio)
  }
  const resized = () => { clearTimeout(later); later = setTimeout(measure, 400) }
  const tell = entries => {
    for (const entry of entries) near.set(entry.target, entry.isIntersecting)
    const away = name => {  // pixels from the middle of the window
      const { top, bottom } = found.get(name).getBoundingClientRect(), middle = window.innerHeight / 2
      return Math.max(0, top - middle, middle - bottom)
    }
    const seen = model.sections.filter(name => near.get(found.get(name)))
    if (String([...seen].sort()) == String([...model.seen].sort())) return
    model.seen = seen.sort((a, b) => away(a) - away(b))
  }
  const find = () => {
    for (const view of Bokeh.index.all_views()) {
      const name = view.model.name
      if (!model.sections.includes(name) || found.has(name)) continue
      found.set(name, view.el)
      watch ??= new IntersectionObserver(tell, { root: scrolls(view.el), rootMargin: `${model.near}px 0px` })
      watch.observe(view.el)
    }
    if (!model.wide) measure()
    if (found.size < model.sections.length) setTimeout(find, 50)
  }
  find()
  window.addEventListener('resize', resized)
  model.on('remove', () => { watch?.disconnect(); window.removeEventListener('resize', resized) })
}
"""


__all__ = ["Sight"]
