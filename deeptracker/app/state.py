"""What a page shows: one object that all sections follow, and that the address of the page holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

import param

MOST = 64
"""Entries of a list that an address may hold."""
LONGEST = 512
"""Letters of one entry."""
TOGETHER = ("start", "stop", "event", "pins", "layers", "filters", "classes", "images")


class Query(param.Parameterized):
    """Parameters that an address holds. Every change that is made together is told together."""

    def query(self) -> str:
        """The part of an address that reproduces this page: what differs from the usual, in a fixed order."""
        pairs: list[tuple[str, str]] = []
        for name, parameter in self.param.objects("existing").items():
            value = getattr(self, name)
            if name == "name" or value == parameter.default:
                continue
            pairs += [(name, _text(one)) for one in (value if isinstance(value, list) else [value])]
        return urlencode(pairs)

    def take(self, query: str, known: Mapping[str, Sequence[str]] | None = None) -> list[str]:
        """Become what an address says; what it does not name becomes as usual.

        Parameters
        ----------
        query : without the question mark. Whatever stands in it, nothing raises.
        known : names that exist, for ``layers``, ``classes``, ``statistic`` and so on; others are left out.

        Returns
        -------
        What was left out, as ``name=value``.
        """
        try:
            given = parse_qs(query.lstrip("?"), max_num_fields=16 * MOST)
        except ValueError:
            given = {}
        values: dict[str, Any] = {}
        out: list[str] = []
        for name, parameter in self.param.objects("existing").items():
            if name == "name":
                continue
            values[name] = parameter.default if not isinstance(parameter.default, list) else list(parameter.default)
            for text in given.get(name, ())[:MOST]:
                kept = None if len(text) > LONGEST else _value(parameter, text, (known or {}).get(name))
                if kept is None:
                    out.append(f"{name}={text[:40]}")
                elif isinstance(parameter, param.List):
                    values[name] = [*dict.fromkeys([*values[name], kept])]
                else:
                    values[name] = kept
        self.param.update(**self.mended(values))
        return out

    def mended(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values that fit together."""
        return values


class State(Query):
    """The selection, and how it is shown. Every change that is made together is told together.

    ``start``/``stop`` are the iterations that are visible (None: the whole run), ``filters`` are texts
    ``layer:channel``, the last entry of ``layers`` and ``classes`` is the one that is open.
    """

    event = param.Integer(0, bounds=(0, None), doc="rank of the open event, 0 for none")
    start = param.Number(None, allow_None=True)
    stop = param.Number(None, allow_None=True)
    pins = param.List([], item_type=int, doc="iterations that are held")
    layers = param.List([], item_type=str)
    filters = param.List([], item_type=str)
    classes = param.List([], item_type=str)
    images = param.List([], item_type=str)

    axis = param.Selector(default="iteration", objects=["iteration", "epoch", "samples", "time"])
    smooth = param.Selector(default="0", objects=["0", "0.6", "0.9", "0.99"])
    loss = param.Selector(default="log", objects=["log", "linear"])
    statistic = param.String("", doc="statistic of the layers; empty: what the view opens with")
    look = param.Selector(default="strips", objects=["strips", "horizon", "band", "ratios", "weights", "gradients"])
    level = param.Selector(default="layer", objects=["layer", "block", "stage"])
    opened = param.List([], item_type=str, doc="blocks and stages that are shown as what is in them")
    only = param.String("", doc="a regular expression on the names of rows")
    across = param.String("", doc="statistic to the right in trajectories")
    up = param.String("", doc="statistic upwards in trajectories")
    share = param.String("", doc="quantity whose shares are stacked")
    order = param.Selector(default="usual", objects=["usual", "own", "similarity", "accuracy", "forgetting"])
    grouped = param.Selector(default="class", objects=["class", "cluster"])
    among = param.String("", doc="a regular expression on the names of classes")
    of = param.Selector(default="class", objects=["class", "event", "chosen"])
    form = param.Selector(default="net", objects=["net", "cabinet"])
    sort = param.Selector(default="strength", objects=["strength", "channel", "mean", "last"])
    scale = param.Selector(default="shared", objects=["shared", "layer", "filter", "iteration"])
    show = param.String("", doc="change or value; empty: what the view opens with")

    def mended(self, values: dict[str, Any]) -> dict[str, Any]:
        if values["start"] is None or values["stop"] is None or values["start"] >= values["stop"]:
            return {**values, "start": None, "stop": None}
        return values

    def add(self, name: str, value: Any, *, keep: bool = False) -> None:
        """Choose an entry of a list: alone, or beside those that are there; again: take it away."""
        there = list(getattr(self, name))
        if value in there and (keep or there == [value]):
            self.param.update(**{name: [one for one in there if one != value]})
        else:
            self.param.update(**{name: [*[one for one in there if one != value], value] if keep else [value]})

    def remove(self, name: str, value: Any) -> None:
        """Take one entry, or a single choice, back."""
        if name == "span":
            self.param.update(start=None, stop=None)
        elif isinstance(self.param[name], param.List):
            self.param.update(**{name: [one for one in getattr(self, name) if str(one) != str(value)]})
        else:
            self.param.update(**{name: self.param[name].default})

    def clear(self) -> None:
        """Choose nothing, and show the whole run; how it is shown stays."""
        self.param.update(**{name: _default(self.param[name]) for name in TOGETHER})


def _default(parameter: Any) -> Any:
    return list(parameter.default) if isinstance(parameter.default, list) else parameter.default


def _text(value: Any) -> str:
    """Ten digits, or all of them where a thousandth of an iteration needs more."""
    if not isinstance(value, float) or value.is_integer():
        return f"{value:.0f}" if isinstance(value, float) else str(value)
    text = f"{value:.10g}"
    return text if abs(float(text) - value) < 1e-3 else repr(value)


def _value(parameter: Any, text: str, known: Sequence[str] | None) -> Any:
    """The value that a text stands for; None where it stands for none."""
    if isinstance(parameter, param.Integer) or getattr(parameter, "item_type", None) is int:
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    if isinstance(parameter, param.Selector):
        return text if text in parameter.objects else None
    if isinstance(parameter, param.Number):
        try:
            number = float(text)
        except ValueError:
            return None
        return number if math.isfinite(number) else None
    return text if known is None or text in known else None


__all__ = ["Query", "State"]
