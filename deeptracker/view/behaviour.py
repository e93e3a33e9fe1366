"""What pages do in the browser by themselves, served and saved alike: keys, theme, hints, copying, jumping."""

from __future__ import annotations

KEYS = (
    ("drag", "zoom to these iterations"),
    ("double click", "the whole run"),
    ("shift + click", "select beside what is selected"),
    ("j, k", "next and previous event"),
    ("Esc", "select nothing, show the whole run"),
    ("← →", "earlier, later"),
    ("+ −", "zoom in, zoom out"),
    ("0", "the whole run"),
    ("1 … 9", "jump to a view"),
    ("d", "dark or light"),
    ("?", "these keys"),
)

SCRIPT = """
(() => {
  const root = document.documentElement
  const stored = name => { try { return localStorage.getItem(name) } catch { return null } }
  const store = (name, value) => { try { localStorage.setItem(name, value) } catch {} }
  const model = name => (window.Bokeh ? Bokeh.documents : []).map(d => d.get_model_by_name(name)).find(m => m)

  const wanted = stored('dt-theme') ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
  root.classList.toggle('dt-dark', wanted == 'dark')
  const theme = () => store('dt-theme', root.classList.toggle('dt-dark') ? 'dark' : 'light')

  const seen = new Set((stored('dt-hints') ?? '').split(' ').filter(Boolean))
  const hide = name => root.style.setProperty(`--dt-hint-${name}`, 'none')
  seen.forEach(hide)

  const copy = async (text, button) => {
    try { await navigator.clipboard.writeText(text) } catch {
      const box = document.createElement('textarea')
      box.value = text
      document.body.append(box)
      box.select()
      document.execCommand('copy')
      box.remove()
    }
    const said = button.textContent
    button.textContent = 'copied'
    setTimeout(() => { button.textContent = said }, 1200)
  }
  let holding = null
  const release = () => { clearInterval(holding) }
  for (const kind of ['wheel', 'pointerdown', 'keydown', 'touchstart']) addEventListener(kind, release, true)
  const go = name => {
    for (const view of Bokeh.index.all_views()) {
      if (view.model.name != name) continue
      const top = () => view.el.getBoundingClientRect().top
      const there = () => view.el.scrollIntoView({ block: 'start' })
      there()
      release()
      let left = 80, most = 500  // sections on the way are made as they come into sight, and push this one down
      holding = setInterval(() => {
        const before = top()
        there()
        left = Math.abs(top() - before) > 1 ? 80 : left - 1
        if (left <= 0 || most-- <= 0) release()
      }, 60)
      return
    }
  }
  document.addEventListener('click', event => {
    const node = event.composedPath().find(n => n.dataset && 'copy go dismiss act'.split(' ').some(k => n.dataset[k]))
    if (!node) return
    const { copy: text, go: place, dismiss, act } = node.dataset
    if (text) copy(text, node)
    if (place) go(place)
    if (dismiss) { seen.add(dismiss); hide(dismiss); store('dt-hints', [...seen].join(' ')) }
    if (act == 'theme') theme()
    if (act == 'keys') keys()
  })

  const move = (from, to) => {
    const range = model('iterations')
    if (!range) return
    const [low, high] = range.bounds ?? [-Infinity, Infinity], wide = range.end - range.start
    let start = range.start + from * wide, end = range.end + to * wide
    if (from == to && start < low) { end += low - start; start = low }
    if (from == to && end > high) { start -= end - high; end = high }
    range.setv({ start: Math.max(low, start), end: Math.min(high, end) })
  }
  const whole = () => {
    const range = model('iterations')
    if (range && range.bounds) range.setv({ start: range.bounds[0], end: range.bounds[1] })
  }
  const keys = () => {
    const there = document.getElementById('dt-keys')
    if (there) return there.remove()
    const box = document.createElement('div')
    box.id = 'dt-keys'
    box.setAttribute('role', 'dialog')
    const line = ([key, what]) => `<div><kbd>${key}</kbd><span>${what}</span></div>`
    box.innerHTML = '<b>Keys</b>' + KEYS.map(line).join('')
    box.onclick = () => box.remove()
    document.body.append(box)
  }
  const step = by => window.dispatchEvent(new CustomEvent('dt-step', { detail: by }))
  const sections = () => [...new Map([...(window.Bokeh ? Bokeh.index.all_views() : [])]
    .filter(view => String(view.model.name ?? '').startsWith('section-') && view.el && view.el.offsetHeight > 0)
    .map(view => [view.model.name, view.el.getBoundingClientRect().top]))]
    .sort((a, b) => a[1] - b[1]).map(([name]) => name)
  const does = {
    j: () => step(1), k: () => step(-1), Escape: () => window.dispatchEvent(new CustomEvent('dt-clear')),
    ArrowLeft: () => move(-0.25, -0.25), ArrowRight: () => move(0.25, 0.25),
    '+': () => move(0.2, -0.2), '=': () => move(0.2, -0.2), '-': () => move(-1 / 3, 1 / 3), 0: whole,
    d: theme, '?': keys,
  }
  document.addEventListener('keydown', event => {
    const typing = event.composedPath()[0]
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(typing.tagName ?? '')) return
    const name = /^[1-9]$/.test(event.key) ? sections()[Number(event.key) - 1] : null
    if (name) return go(name)
    if (!does[event.key]) return
    event.preventDefault()
    does[event.key]()
  })
})()
""".replace("KEYS", repr([list(pair) for pair in KEYS]))

__all__ = ["KEYS", "SCRIPT"]
