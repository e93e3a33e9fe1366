"""What may stand in a profile: the keys of each kind, and what fits each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a profile.

    Parameters
    ----------
    expected : what its value must be, in words that follow "must be".
    fits : whether a value is that.
    required : whether the profile is of no use without it.
    """

    expected: str
    fits: Callable[[Any], bool]
    required: bool = False


def _whole(value: Any, least: int = 1, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.replace("\t", " ").isprintable()


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_text(item) for item in value)


def _size(value: Any) -> bool:
    from dask.utils import parse_bytes

    try:
        return _text(value) and not value.isdecimal() and parse_bytes(value) > 0
    except (ValueError, OverflowError):
        return False


def _pairs(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(_text(key) and (_text(item) or _number(item)) for key, item in value.items())


def _tls(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, Mapping) and _files(value))


def _files(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"ca", "cert", "key"} and all(map(_text, value.values()))


COUNT = Key("a whole number from 1 on", _whole)
TEXT = Key("a text on one line (in quotes where YAML would read a number)", _text)
TEXTS = Key("a list of texts", _texts)
SIZE = Key("a size such as 4GiB", _size)
SECONDS = Key("a number of seconds above 0", _number)
PORT = Key("a port, 1 to 65535", lambda value: _whole(value, 1, 65535))
PAIRS = Key("names with their values", _pairs)
FILES = Key("three files {ca: …, cert: …, key: …}", _files)
TLS = Key("true, or three files {ca: …, cert: …, key: …}", _tls)

_STARTED = {"workers": COUNT, "threads": COUNT, "memory": SIZE, "wait": SECONDS, "tls": TLS}
_SHARED = {"shared": TEXT, "python": TEXT, "interface": TEXT, "directory": TEXT}


def _needed(key: Key) -> Key:
    return Key(key.expected, key.fits, required=True)


# What a profile of each kind takes besides `kind`. Those of _STARTED are fields of Profile, the others its settings.
KEYS: Mapping[str, Mapping[str, Key]] = {
    "local": _STARTED,
    "scheduler": {"address": _needed(TEXT), "tls": FILES, "wait": SECONDS},
    "ssh": {
        **_STARTED,
        **_SHARED,
        "hosts": _needed(TEXTS),
        "scheduler": TEXT,
        "user": TEXT,
        "port": PORT,
        "key": TEXT,
        "known_hosts": TEXT,
    },
    "slurm": {
        **_STARTED,
        **_SHARED,
        "memory": _needed(SIZE),
        "workers_per_job": COUNT,
        "partition": TEXT,
        "account": TEXT,
        "walltime": TEXT,
        "directives": TEXTS,
        "prologue": TEXTS,
        "logs": TEXT,
    },
    "kubernetes": {
        **_STARTED,
        "memory": _needed(SIZE),
        "image": _needed(TEXT),
        "name": TEXT,
        "namespace": TEXT,
        "context": TEXT,
        "env": PAIRS,
        "claims": PAIRS,
        "secrets": TEXTS,
        "service": Key(
            "ClusterIP, NodePort or LoadBalancer", lambda value: value in {"ClusterIP", "NodePort", "LoadBalancer"}
        ),
    },
}
# Files of this machine: a relative path is taken from the folder of the profile.
FILES_HERE = ("key", "known_hosts")

__all__ = ["FILES_HERE", "KEYS", "Key"]
