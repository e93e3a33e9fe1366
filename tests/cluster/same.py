"""When two analyses of one run are the same."""

from __future__ import annotations

import xarray as xr

from deeptracker.store import Run


def derived(run: Run) -> list[str]:
    return [group for group in run.groups if group.split("/")[0] in run.stages and group != "anomalies/events"]


def assert_same(one: Run, other: Run) -> None:
    assert derived(one) == derived(other)
    for group in derived(one):
        xr.testing.assert_equal(one.dataset(group).load(), other.dataset(group).load())
    assert one.event_documents() == other.event_documents()
