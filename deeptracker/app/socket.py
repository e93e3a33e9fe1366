"""The connection of a page to the server."""

from __future__ import annotations

from typing import Any

from bokeh.server.urls import per_app_patterns
from panel.io.server import WSHandler


class PromptSocket(WSHandler):
    """A message leaves as soon as it is written.

    Bokeh writes a message in parts. With Nagle's algorithm on, as Tornado leaves it, the second part waits until the
    browser has acknowledged the first, which it puts off: 40 ms on Linux, on every message.
    """

    def open(self, *args: Any, **kwargs: Any) -> None:
        self.set_nodelay(True)
        super().open(*args, **kwargs)


def prompt() -> None:
    """Let servers that are made from now on use it."""
    per_app_patterns[:] = [
        (pattern, PromptSocket if handler is WSHandler else handler) for pattern, handler in per_app_patterns
    ]


__all__ = ["PromptSocket", "prompt"]
