"""A server looks for objects without references in quiet moments, through all of them once sessions have ended."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator

import pytest

from deeptracker.app import sweep
from deeptracker.app.sweep import Sweep


class Page:
    """Something that refers to itself, as pages do."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Leave the collector as it was."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def rest(one: Sweep) -> None:
    """A moment in which nothing is done, and a look after it."""
    time.sleep(0.2)
    one.look()


def test_sweep__frees_what_an_ended_session_left_when_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "APART", 0.0)
    held = ["one", "two"]
    page = Page()
    there = weakref.ref(page)
    swept = Sweep(lambda: held)
    assert gc.get_freeze_count() > 0
    del page
    gc.collect()
    assert there() is not None  # put away: collections do not look there
    rest(swept)
    assert there() is not None
    held.remove("one")
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    swept.look()
    assert there() is not None  # somebody is being served
    rest(swept)
    assert there() is None
    assert gc.get_freeze_count() > 0


def test_sweep__waits_for_no_quiet_moment_once_many_sessions_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "APART", 0.0)
    monkeypatch.setattr(Sweep, "_quiet", lambda self: False)
    held = [str(number) for number in range(sweep.MANY + 1)]
    page = Page()
    there = weakref.ref(page)
    swept = Sweep(lambda: held)
    del page
    for _ in range(sweep.MANY):
        swept.look()
        assert there() is not None
        held.pop()
    swept.look()
    assert there() is None
    assert gc.get_freeze_count() > 0


def test_sweep__puts_away_what_is_new_and_collects_what_is_gone() -> None:
    swept = Sweep(lambda: ["one"])
    gone = weakref.ref(Page())
    before = gc.get_freeze_count()
    stays = [Page() for _ in range(1000)]
    for _ in range(sweep.LITTLE):
        gc.collect(0)
    rest(swept)  # from here on it is quiet
    rest(swept)
    assert gone() is None
    assert gc.get_freeze_count() >= before + len(stays)
    again = [Page() for _ in range(10)]
    rest(swept)  # next to nothing is new
    assert gc.get_freeze_count() < before + 2 * len(stays)
    assert len(again) == 10


def test_sweep__keeps_python_from_going_through_everything() -> None:
    Sweep(list)
    assert gc.get_threshold()[2] >= 1_000_000
