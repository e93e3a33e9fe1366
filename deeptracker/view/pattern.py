"""Regular expressions out of an address: of names, searched by RE2 in a time that only grows with the name."""

from __future__ import annotations

from collections.abc import Callable

import re2

from deeptracker.errors import InputError

_MEMORY = 1 << 18
"""Bytes of a compiled expression: the worst that fits looks through a thousand names in half a second."""
_SHOWN = 100


def pattern(text: str) -> Callable[[str], bool]:
    """Whether a name has a regular expression in it.

    Python's own expressions try every way in which repeats can share a text out among themselves: a link could hold a
    server for years. RE2 knows neither look-around nor back references, and needs neither.

    Raises
    ------
    InputError : it is no regular expression that RE2 knows, or too large a one.
    """
    options = re2.Options()
    options.log_errors = False  # a stranger's text
    options.max_mem = _MEMORY
    options.never_capture = True
    try:
        found = re2.compile(_bytes(text), options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace")[:_SHOWN]
        raise InputError(
            f"{text[:_SHOWN]!r} is no regular expression to search names with ({_plain(reason)}): look-around, back "
            "references and thousands of repeats are not known here; letters, . * + ? | ( ) [ ] ^ $ are"
        ) from None
    return lambda name: found.search(_bytes(name)) is not None


def _bytes(text: str) -> bytes:
    """UTF-8; what is no text is left for RE2 to refuse, or not to find."""
    return text.encode("utf-8", "surrogatepass")


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


__all__ = ["pattern"]
