"""Class names of answers as class numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from deeptracker.errors import InputError

Array = np.ndarray[Any, Any]
_NOTHING = {"nan", "na", "n/a", "<na>", "none", "null"}


def with_numbers(found: dict[str, Any], name: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """Columns of the table ``name`` with class numbers in place of class names, the names, and how they were read.

    Without a list of ``classes``, names are numbered in alphabetical order.

    Raises
    ------
    InputError
        What is a name and what a number cannot be told, or a name is not among the classes.
    """
    classes = [str(text) for text in found["classes"]] if "classes" in found else []
    columns = {key: np.asarray(found[key]) for key in ("target", "predicted") if key in found}
    texts = {key: values for key, values in columns.items() if any(isinstance(value, str) for value in values.flat)}
    if not texts:
        return found, classes, []
    if not classes:
        if "logits" in found or "probabilities" in found:
            raise InputError(
                f"{name}: {', '.join(texts)} are names, but scores go by number: add the list as classes"
            )
        for key in columns.keys() - texts.keys():
            if any(not _is_missing(value) and value != -1 for value in columns[key].flat):
                theirs = next(value for values in texts.values() for value in values.flat if isinstance(value, str))
                raise InputError(
                    f"{name}: {', '.join(texts)} are names (such as {theirs!s}), but {key} are numbers: write both "
                    "alike, or add the list as classes"
                )
    known = {_name(value, name, key) for key, values in texts.items() for value in values.flat} - {None}
    names = sorted(text for text in known if text is not None)
    classes = classes or _distinct(names, name)
    if strange := sorted(set(names) - set(classes)):
        raise InputError(f"{name}: {strange[0]!r} is not among its classes")
    number: dict[str | None, int] = {None: -1} | {text: place for place, text in enumerate(classes)}
    for key, values in texts.items():
        flat = [number[_name(value, name, key)] for value in values.flat]
        found = {**found, key: np.array(flat).reshape(values.shape)}
    words = ", ".join(repr(text) for text in names if text.lower() in _NOTHING)
    return found, classes, [f"{name}: {words} was read as the name of a class, not as a missing answer"] * bool(words)


def _is_missing(value: Any) -> bool:
    return value is None or bool(value != value)


def _name(value: Any, name: str, key: str) -> str | None:
    if isinstance(value, str):
        return str(value)
    if _is_missing(value):
        return None
    raise InputError(f"{name}: {key} has names, and {value!s}, which is none: write all alike")


def _distinct(names: list[str], name: str) -> list[str]:
    """The same names, none of them the number of another."""
    seen: dict[str, str] = {}
    for text in names:
        if text.isdecimal() and (other := seen.setdefault(text.lstrip("0"), text)) != text:
            raise InputError(f"{name}: classes {other!r} and {text!r} are the same number: write it one way")
    return names


__all__ = ["with_numbers"]
