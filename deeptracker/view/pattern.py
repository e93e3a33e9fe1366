"""Regular expressions out of an address: of names, and never such as take longer than a page may."""

from __future__ import annotations

import re

from deeptracker.errors import InputError

_LETTERS = 40
"""Of a name: in about so many ways a repeat can match."""
_MOST_WAYS = _LETTERS**3
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[*+?]|\{\d*,?\d*\}|\(\?[:=!<P][=!]?|.", re.DOTALL)


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression of a few repeats, none of them of a group.

    Python tries every way in which repeats can share a text out among themselves: a link with twenty of them would
    hold a server for years.

    Raises
    ------
    InputError : it is no regular expression, or one that may take too long.
    """
    try:
        found = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"{text!r} is no regular expression: {error}") from None
    ways, depth, before = 1, 0, ""
    for token in _TOKEN.findall(text):
        if token == "|" and not depth:
            ways = 1  # each of these is tried by itself
        elif token == "|":
            ways *= 2
        elif token[0] == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif token in {"*", "+", "?"} or (token[0] == "{" and len(token) > 1):
            lazy = token in {"?", "+"} and (before in {"*", "+", "?"} or (before[:1] == "{" and len(before) > 1))
            ways *= 1 if lazy else 2 if token == "?" else _LETTERS
            ways = _MOST_WAYS + 1 if before == ")" else ways
        if ways > _MOST_WAYS:
            raise InputError(
                f"{text!r} could take too long: use fewer repeats (* + ? {{…}}) and alternatives, and repeat no group"
            )
        before = token
    return found


__all__ = ["pattern"]
