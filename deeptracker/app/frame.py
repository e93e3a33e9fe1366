"""Page templates of the server, in the frame that all pages share."""

from deeptracker.view.behaviour import SCRIPT
from deeptracker.view.frame import STYLE

_BEGIN = (
    "{% extends base %}\n{% block postamble %}<style>"
    + STYLE
    + "</style>{% endblock %}\n{% block contents %}\n<script>"
    + SCRIPT
    + "</script>\n"
)

EXPLORER = (
    _BEGIN
    + """<div class="dt-page">
  <header class="dt-head">{{ embed(roots.head) }}</header>
  <aside class="dt-list">{{ embed(roots.events) }}</aside>
  <main class="dt-main">
    <div class="dt-band">
      <div class="dt-line"><div>{{ embed(roots.chips) }}</div><div>{{ embed(roots.controls) }}</div></div>
      {{ embed(roots.band) }}
    </div>
    <div class="dt-views">
      {% for root in roots if root.name.startswith("section-") %}{{ embed(root) }}{% endfor %}
    </div>
  </main>
</div>
{{ embed(roots.address) }}{{ embed(roots.sight) }}
{% endblock %}
"""
)

LIVE = (
    _BEGIN
    + """<div class="dt-page">
  <header class="dt-head">{{ embed(roots.head) }}</header>
  <aside class="dt-list">{{ embed(roots.events) }}</aside>
  <main class="dt-main">
    <div class="dt-band">{{ embed(roots.status) }}{{ embed(roots.alerts) }}{{ embed(roots.band) }}</div>
    <div class="dt-views">{{ embed(roots.views) }}</div>
  </main>
</div>
{% endblock %}
"""
)

WIDE = (
    _BEGIN
    + """<header class="dt-head">{{ embed(roots.head) }}</header>
<div class="dt-wide">{{ embed(roots.views) }}</div>
{{ embed(roots.address) }}
{% endblock %}
"""
)

SINGLE = (
    _BEGIN
    + """<header class="dt-head">{{ embed(roots.head) }}</header>
<div class="dt-single">{{ embed(roots.views) }}</div>
{% endblock %}
"""
)
