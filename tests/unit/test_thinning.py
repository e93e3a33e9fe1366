"""A disk budget, kept: what goes and what stays, and an index and events that know what is gone.

The twin is the same training, never thinned. Every number that thinning must not change is compared with the twin's.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import Any

import growing
import numpy as np
import pytest

from deeptracker.aggregate import build_index
from deeptracker.aggregate.carried import Carried
from deeptracker.analysis import analyze, forecast, plan
from deeptracker.cli.info import describe, print_info
from deeptracker.detect.carried import LOOKS_BACK, STATED
from deeptracker.detect.parameters import maxima
from deeptracker.errors import InputError
from deeptracker.store import LogWriter, Run, layout, open_run, verify
from deeptracker.store.catalogue import bytes_on_disk
from deeptracker.store.spans import Span, Thinned
from deeptracker.thinning import AFTER, BEFORE, Budget, choose, thin

BUDGET = {"bytes": 1, "dense_last": 200}
SHARD, PART, EVENT = 128, 1450, 660
STAGES = ["index", "anomalies", "correlation"]


@pytest.fixture(scope="module", autouse=True)
def small_shards() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SHARD_ROWS", (SHARD, SHARD))
        patch.setattr("os.fsync", lambda _: None)  # nothing here is about power cuts
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def twin(small_shards: None, folder: Path) -> Run:
    growing.record(folder / "twin", 0, growing.ITERATIONS, {"bytes": 10**12, "dense_last": 0})
    return analyze(folder / "twin")


@pytest.fixture(scope="module")
def before(small_shards: None, folder: Path) -> Run:
    """The first part, analysed, with nothing thinned yet."""
    growing.record(folder / "before", 0, PART, BUDGET)
    return analyze(folder / "before", stages=STAGES)


@pytest.fixture(scope="module")
def thinned(before: Run, folder: Path) -> Run:
    shutil.copytree(before.path, folder / "thinned")
    return analyze(folder / "thinned")


@pytest.fixture(scope="module")
def grown(thinned: Run, folder: Path) -> Run:
    """The thinned run, gone on to the end and analysed again: of the index, what is new."""
    shutil.copytree(thinned.path, folder / "grown")
    growing.record(folder / "grown", PART, growing.ITERATIONS, BUDGET)
    run = build_index(open_run(folder / "grown"))
    assert "continued" in run.stages["index"]
    return analyze(run, stages=STAGES[1:])


def _gone(run: Run, group: str = "filters/dense") -> Any:
    growth = run.commit.groups[group]
    return growth.thinned.covers(np.arange(growth.rows))


# -- what goes ----------------------------------------------------------------------------------------------------


def test_analyze__thins_whole_shards_outside_the_event_and_the_newest_records(thinned: Run) -> None:
    expected = np.zeros(PART, bool)
    # 660 − 512 = 148 and 660 + 64 = 724 bound the event's stretch; bins of 512 are complete up to 1024, and the
    # newest 512 begin at 938: the shards left over are 0–127 and 768–895.
    expected[0:128] = expected[768:896] = True
    np.testing.assert_array_equal(_gone(thinned), expected)
    assert (BEFORE, AFTER) == (512, 64)
    assert np.isnan(thinned.dataset("filters/dense")["w_rms"].values[expected]).all()


def test_thinning__takes_the_oldest_shards_and_no_more_than_needed(before: Run) -> None:
    size = bytes_on_disk(before.path)
    assert choose(before, Budget(size), size) == {}
    (first,) = choose(before, Budget(size - 1), size)["filters/dense"]
    assert (first.start, first.stop) == (0, 128)
    both = choose(before, Budget(size - first.nbytes - 1), size)["filters/dense"]
    assert [span.start for span in both] == [0, 768]


def test_thinning__spares_the_newest_records(before: Run) -> None:
    size = bytes_on_disk(before.path)
    chosen = choose(before, Budget(1, dense_last=PART - 896), size)["filters/dense"]
    assert [span.start for span in chosen] == [0, 768]
    chosen = choose(before, Budget(1, dense_last=PART - 895), size)["filters/dense"]
    assert [span.start for span in chosen] == [0]
    assert choose(before, Budget(1, dense_last=PART), size) == {}


def test_thinning__takes_rarer_groups_only_after_the_dense_one(before: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    size = bytes_on_disk(before.path)
    growth = before.commit.groups["filters/probe"]
    smaller = before.commit.with_group("filters/probe", dataclasses.replace(growth, shard_rows=4))
    run = dataclasses.replace(before, commit=smaller)
    sizes = {"filters/dense": 11, "filters/full": 0, "filters/probe": 18}
    monkeypatch.setattr("deeptracker.thinning.shard_bytes", lambda *of: np.full(sizes[of[2]], 1000))
    chosen = choose(run, Budget(1), size)
    assert list(chosen) == ["filters/dense", "filters/probe"]
    at = run.dataset("filters/probe")["iteration"].values
    for span in chosen["filters/probe"]:
        assert at[span.stop - 1] < PART - BEFORE
        assert at[span.stop - 1] < EVENT - BEFORE or at[span.start] > EVENT + AFTER
    assert list(choose(run, Budget(size - 2000), size)) == ["filters/dense"]


def test_thinning__waits_for_an_analysis_of_all_that_was_recorded(before: Run, tmp_path: Path) -> None:
    shutil.copytree(before.path, tmp_path / "run")
    with LogWriter(tmp_path / "run", background=False) as writer:
        writer.describe({"note": "one commit more"})
    run = open_run(tmp_path / "run")
    assert choose(run, Budget(1), 10**9) == {}
    with pytest.raises(InputError, match="older than its log: run deeptracker analyze"):
        analyze(run, stages=["thin"])


def test_plan__thins_only_where_there_is_a_budget(twin: Run, before: Run, thinned: Run) -> None:
    assert plan(before) == ("thin",)
    assert plan(thinned) == ()
    assert plan(dataclasses.replace(before, stages={})) == (*STAGES, "thin")
    assert plan(twin) == ()
    commit = dataclasses.replace(twin.commit, attributes={"disk_budget": None})
    assert plan(dataclasses.replace(twin, commit=commit, stages={})) == tuple(STAGES)
    with pytest.raises(InputError, match=r"no disk budget to keep: give one to Recorder\(disk_budget"):
        thin(dataclasses.replace(twin, commit=commit))


def test_thinning__of_a_run_that_is_recorded_says_so_and_does_nothing(
    before: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(before.path, tmp_path / "run")
    run = open_run(tmp_path / "run")
    with LogWriter(tmp_path / "run", background=False), caplog.at_level(logging.WARNING, "deeptracker"):
        assert thin(run) is run
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / 'run'} is in use (recorded or analysed): it is thinned when it is analysed after that"
    ]
    assert open_run(tmp_path / "run").thinned.empty


def test_thinning__says_when_the_budget_cannot_be_kept(thinned: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "deeptracker"):
        assert analyze(thinned, stages=["thin"]) is thinned
    (said,) = caplog.messages
    assert said.endswith("MB, its budget is 0.0 MB: what is left are events, the newest records and the analysis")
    assert str(forecast(thinned, ["thin"])) == "thin: reads no statistics"


def test_info__says_what_was_thinned(thinned: Run, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    facts = describe(thinned)
    assert [(item["first"], item["last"]) for item in facts["thinned"]] == [(0, 127), (768, 895)]
    print_info(Console(width=200), facts)
    said = capsys.readouterr().out
    assert "filters/dense iterations 0–895 in 2 stretches, " in said
    assert "; extremes stay in the index" in said
    assert " of a budget of 1 B: filters/dense " in said


# -- what stays ---------------------------------------------------------------------------------------------------


def _same(one: Run, other: Run, group: str, rows: Any = slice(None), names: Any = None) -> None:
    left, right = one.dataset(group).load(), other.dataset(group).load()
    for name in names or left.data_vars:
        mine, theirs = left[name].values[rows], right[name].values[rows]
        if name in {"moments", "confidence_mean", "confidence_std"}:  # summed in another order
            np.testing.assert_allclose(mine, theirs, rtol=1e-6)
        else:
            np.testing.assert_array_equal(mine, theirs, f"{group}/{name}")


def test_index__of_a_thinned_run_made_anew_is_the_one_of_before(before: Run, thinned: Run, tmp_path: Path) -> None:
    shutil.copytree(thinned.path, tmp_path / "run")
    again = analyze(tmp_path / "run", stages=["index"])
    groups = [group for group in before.stages["index"]["groups"] if not group.startswith("index/validation")]
    assert {"index/filters_8", "index/filters_64", "index/filters_512", "index/layer_quantiles"} <= set(groups)
    for group in groups:
        _same(again, before, group)


def test_index__of_a_run_that_grew_is_that_of_the_twin(twin: Run, grown: Run) -> None:
    assert _gone(grown).sum() == 256
    for group in twin.stages["index"]["groups"]:
        _same(grown, twin, group)


def test_index__without_the_earlier_one_says_what_is_lost(thinned: Run, caplog: pytest.LogCaptureFixture) -> None:
    from deeptracker.aggregate.carried import carried

    with caplog.at_level(logging.WARNING, "deeptracker"):
        assert carried(dataclasses.replace(thinned, stages={}), "filters/dense") is None
    assert "the extremes of 256 thinned rows" in caplog.text


def test_bins__that_hold_rows_recorded_anew_are_not_carried_over() -> None:
    thinned = Thinned((Span(0, 100),), renewed=100)
    earlier = Carried(None, thinned)
    assert earlier.rows(0, 512, 8).tolist() == [True] * 12 + [False] * 52
    assert earlier.rows(0, 512, 64).tolist() == [True] + [False] * 7
    assert earlier.rows(0, 512, 512).tolist() == [False]
    whole = Carried(None, Thinned((Span(0, 100),)))
    assert whole.rows(0, 512, 8).tolist() == [True] * 13 + [False] * 51
    assert whole.rows(512, 600, 64).tolist() == [False, False]


def test_index__after_a_cut_into_what_was_thinned_is_made_of_what_is_there(thinned: Run, tmp_path: Path) -> None:
    shutil.copytree(thinned.path, tmp_path / "run")
    with LogWriter(tmp_path / "run", background=False) as writer:
        writer.cut(800)
    growing.record(tmp_path / "run", 800, 1100, BUDGET)
    run = analyze(tmp_path / "run", stages=["index", "anomalies"])
    _same(run, thinned, "index/filters_8", slice(0, 100))
    bins = run.dataset("index/filters_8")["w_rms"].values
    raw = run.dataset("filters/dense")["w_rms"].values[800:808]
    np.testing.assert_array_equal(bins[100, 0], raw.min(0))
    assert np.isfinite(run.dataset("anomalies/filters")["filter_score"].values[1000:]).any()
    assert verify(tmp_path / "run") == []


def test_scores__of_a_run_that_grew_are_those_of_the_twin(twin: Run, grown: Run) -> None:
    for group in twin.stages["anomalies"]["groups"]:
        if group != "anomalies/events":
            _same(grown, twin, group)


def test_scores__before_the_frontier_are_carried_over_not_made_anew(grown: Run) -> None:
    frontier = 896 + LOOKS_BACK
    assert grown.stages["anomalies"]["carried_over"] == {"before": frontier, "version": 1}
    gone = grown.dataset("anomalies/filters")["filter_score"].values[768:800]  # at 800 the learning rate fell
    assert np.isfinite(gone).all()


def _documents(run: Run) -> dict[int, dict[str, Any]]:
    return {event["iteration"]: event for event in run.event_documents()}


def test_events__of_a_run_that_grew_are_those_of_the_twin(twin: Run, before: Run, grown: Run) -> None:
    expected, got = _documents(twin), _documents(grown)
    assert got.keys() == expected.keys()
    old, new = growing.JUMPS
    assert got[new] == expected[new]
    said = {"text": STATED, "expression": "run.thinned", "for": True}
    carried = {**_documents(before)[old], "rank": got[old]["rank"]}
    assert got[old] == {**carried, "evidence": [*carried["evidence"], said]}
    assert sorted(event["rank"] for event in got.values()) == list(range(1, len(got) + 1))


def test_events__carried_over_twice_say_so_once(grown: Run, tmp_path: Path) -> None:
    shutil.copytree(grown.path, tmp_path / "run")
    again = analyze(tmp_path / "run", stages=["anomalies"])
    assert _documents(again) == _documents(grown)


def test_cube__of_a_run_that_grew_is_that_of_the_twin(twin: Run, grown: Run) -> None:
    groups = twin.stages["correlation"]["groups"]
    assert groups
    for group in groups:
        _same(grown, twin, group)


def test_reference__that_was_thinned_lends_the_same_tail(before: Run, thinned: Run) -> None:
    one, other = maxima(before), maxima(thinned)
    for kind in ("filter", "layer", "model"):
        np.testing.assert_array_equal(one[kind], other[kind])
