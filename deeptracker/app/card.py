"""A page of a few words, in the middle of the window: it asks for the password, or says that there is no room."""

from __future__ import annotations

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
"""Its Content-Security-Policy: no script runs on it."""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>DeepTracker</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { margin: 0; display: grid; place-items: center; min-height: 100vh; background: #f4f5f7; color: #1d2733;
  font: 15px/1.45 system-ui, sans-serif; }
main { background: #fff; border: 1px solid #d9dee4; border-radius: 8px; padding: 24px 28px; margin: 16px;
  width: min(320px, 80vw); }
main, form { display: grid; gap: 12px; }
input, button, a { font: inherit; padding: 8px 10px; border-radius: 5px; border: 1px solid #b8c0ca; }
button, a { background: #1d2733; color: #fff; cursor: pointer; text-align: center; text-decoration: none; }
p { margin: 0; overflow-wrap: anywhere; }
.wrong { color: #a3263c; }
</style></head><body><main><b>DeepTracker</b>
INSIDE</main></body></html>
"""


def card(inside: str) -> str:
    """The page; ``inside`` is HTML of ours, whatever comes from elsewhere escaped in it."""
    return _PAGE.replace("INSIDE", inside)


__all__ = ["POLICY", "card"]
