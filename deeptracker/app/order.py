"""One order for what a session hears and says: one callback at a time, and its changes are sent as they were made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from panel import reactive
from panel.io import document, state
from panel.pane import base

_at_once = document.unlocked


@contextmanager
def _in_turn(policy: Any = "combine") -> Iterator[None]:
    """In the place of Panel's ``unlocked``.

    That writes to the socket at once, Bokeh when the callback is over. What Bokeh has still to write may bring models
    that Panel's message names, and a browser drops a message with a model that it does not know. A callback that
    holds the document can leave Panel's changes to Bokeh.
    """
    session = getattr(getattr(state.curdoc, "session_context", None), "session", None)
    if getattr(session, "_pending_writes", None) is None:
        with _at_once(policy):
            yield
    else:
        yield


def keep_order() -> None:
    """Let callbacks of components hold the document, and send what is changed in the order of the changes.

    Panel runs them without the document where another one is pending, and Bokeh refuses what they change then.
    """
    for callback in (reactive.Syncable._event_coroutine, reactive.Syncable._change_coroutine):
        callback.lock = True
    for module in (document, reactive, base):
        module.unlocked = _in_turn


__all__ = ["keep_order"]
