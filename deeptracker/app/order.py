"""One order for what a session hears and says: one callback at a time, and its changes are sent as they were made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bokeh.document.callbacks import invoke_with_curdoc
from bokeh.document.events import DocumentPatchedEvent
from panel import reactive
from panel.io import document as panel_document
from panel.io import state
from panel.pane import base

_at_once = panel_document.unlocked


@contextmanager
def together(document: Any) -> Iterator[None]:
    """What is changed here goes to the browser as one message, which lays out and draws once."""
    if document.callbacks.hold_value is not None:
        yield
        return
    document.hold("combine")
    try:
        yield
    finally:
        send(document)


def send(document: Any) -> None:
    """Send what was held as one message, and hold nothing any more; Bokeh alone would send a message a change."""
    session = _session(document)
    if session is None:
        document.unhold()
        return
    events = list(document.callbacks._held_events)
    document.callbacks._held_events = []
    document.unhold()
    patches = [event for event in events if isinstance(event, DocumentPatchedEvent)]
    for connection in session._subscribed_connections:
        own = connection is session._current_patch_connection
        news = [event for event in patches if not (own and event.setter is session)]
        if news:
            message = connection.protocol.create("PATCH-DOC", news)
            session._pending_writes.append(connection._socket.send_message(message))
    for event in events:
        if not isinstance(event, DocumentPatchedEvent):
            document.callbacks.trigger_on_change(event)
        elif event.callback_invoker is not None:
            invoke_with_curdoc(document, event.callback_invoker)


def _session(document: Any) -> Any:
    """The session of a document that a callback holds, else None."""
    session = getattr(getattr(document, "session_context", None), "session", None)
    return None if getattr(session, "_pending_writes", None) is None else session


@contextmanager
def _in_turn(policy: Any = "combine") -> Iterator[None]:
    """In the place of Panel's ``unlocked``.

    That writes to the socket at once, Bokeh when the callback is over. What Bokeh has still to write may bring models
    that Panel's message names, and a browser drops a message with a model that it does not know. A callback that
    holds the document can leave Panel's changes to Bokeh.
    """
    document = state.curdoc
    if _session(document) is None:
        with _at_once(policy):
            yield
    else:
        with together(document):
            yield


def keep_order() -> None:
    """Let callbacks of components hold the document, and send what is changed in the order of the changes.

    Panel runs them without the document where another one is pending, and Bokeh refuses what they change then.
    """
    for callback in (reactive.Syncable._event_coroutine, reactive.Syncable._change_coroutine):
        callback.lock = True
    for module in (panel_document, reactive, base):
        module.unlocked = _in_turn


__all__ = ["keep_order", "send", "together"]
