"""What a page shows and its address are the same thing, whatever stands in the address."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeptracker.app.address import addressed
from deeptracker.app.state import State
from deeptracker.errors import InputError
from deeptracker.view.pattern import pattern

NAMES = st.text(min_size=1, max_size=40)
CHOSEN = st.fixed_dictionaries(
    {
        "event": st.integers(0, 10**6),
        "pins": st.lists(st.integers(0, 10**12), max_size=6, unique=True),
        "layers": st.lists(NAMES, max_size=6, unique=True),
        "filters": st.lists(NAMES, max_size=6, unique=True),
        "classes": st.lists(NAMES, max_size=6, unique=True),
        "images": st.lists(NAMES, max_size=6, unique=True),
        "axis": st.sampled_from(["iteration", "epoch", "samples", "time"]),
        "show": st.sampled_from(["", "change", "value"]),
    }
)


def values(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.param if name != "name"}


@given(CHOSEN)
def test_state__an_address_gives_the_page_back(chosen: dict[str, Any]) -> None:
    state, other = State(**chosen), State()
    assert other.take(state.query()) == []
    assert values(other) == values(state)


@given(st.text(max_size=400))
def test_state__whatever_an_address_holds_is_taken_or_named(query: str) -> None:
    state = State()
    assert all("=" in left for left in state.take(query, {"layers": ["conv1"]}))
    assert set(state.layers) <= {"conv1"}
    again = State()
    assert again.take(state.query(), {"layers": ["conv1"]}) == []
    assert values(again) == values(state)  # what was taken is an address again


def test_state__names_that_do_not_exist_are_left_out_and_said() -> None:
    state = State()
    left = state.take("layers=conv1&layers=conv9&event=x&axis=furlong&start=nan", {"layers": ["conv1"]})
    assert state.layers == ["conv1"]
    assert sorted(left) == ["axis=furlong", "event=x", "layers=conv9", "start=nan"]


def test_state__a_second_click_takes_back_and_shift_keeps_the_others() -> None:
    state = State()
    state.add("layers", "a")
    state.add("layers", "b")
    assert state.layers == ["b"]
    state.add("layers", "a", keep=True)
    assert state.layers == ["b", "a"]
    state.add("layers", "b", keep=True)
    assert state.layers == ["a"]
    state.add("layers", "a")
    assert state.layers == []


def test_address__keeps_what_is_not_ours_and_tells_zooms_from_choices() -> None:
    state = State()
    address, left = addressed(state, {"run": [b"mine"], "event": [b"2"]}, {})
    assert left == []
    assert (state.event, address.place["query"]) == (2, "run=mine&event=2")
    state.param.update(start=3.0, stop=9.0)
    assert address.place == {"query": "run=mine&event=2&start=3&stop=9", "replace": True}
    state.param.update(layers=["conv1"])
    assert address.place["replace"] is False
    address.place = {"query": "run=mine&pins=7", "replace": True}
    assert (state.event, state.layers, state.pins, state.start) == (0, [], [7], None)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("conv", "layer1.conv2"), (r"layer[12]\.0", "layer2.0"), ("^(conv|bn)1$", "bn1"), ("a.*b.*c", "xaxbxc"),
        ("x{2,3}?", "xx"), ("layer1.*a|layer2.*b", "layer2.b"), ("", "any"), ("größe.", "die Größe größe1"),
        ("(?i)GRÖSSE", "größse grösse"), (r"^\pL$", "层"), ("(.*)*x|conv", "conv1"), ("^.$", "é"), (" +", "a name"),
    ],
)  # fmt: skip
def test_pattern__of_an_address_finds_names(text: str, name: str) -> None:
    assert pattern(text)(name)
    assert not pattern(f"^(?:{text})$")("another.\ud800.one" if text else "another")


@pytest.mark.parametrize(
    "text",
    [
        "(.*)*x", "(a|a)" * 30, ".*" * 20 + "x", "(.*x|y)" * 9, "a?" * 40, "(a+)+~", "(?:(?:(.?){9}){9}){9}~",
        "((.?)(?#[){99}){99}(?#])~", "(?x)((.?) {99}) {99}~", "(.?){990}~", r"(\pL?){300}~", "(.*a.*b?){100}~",
        "|".join(["a?" * 30] * 900), "x{99999999999999999999}", "\ud800",
    ],
)  # fmt: skip
def test_pattern__takes_no_longer_than_a_page_may(text: str) -> None:
    began = time.process_time()
    with suppress(InputError):
        found = pattern(text)
        for name in range(100):
            found(f"a.layer{name}." + "a" * 60)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    "text",
    ["(" * 5, "(?=a)b", r"(a)\1", "(?x)a", ".{1000}" * 60, "*", "[\ud800", "(?P<\n\x1b[2J>a", "x{2000}"],
)
def test_pattern__that_is_none_is_said_in_a_line_and_not_in_the_log(
    text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="regular expression") as said:
        pattern(text)
    assert str(said.value).isprintable()
    assert len(str(said.value)) < 500
    assert capfd.readouterr().err == ""
