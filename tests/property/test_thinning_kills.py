"""A kill at any moment of a thinning: the run opens, says what is gone, and has lost nothing else."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deeptracker.store import LogWriter, disk, layout, open_run, verify
from deeptracker.store import thinning as act
from deeptracker.store.arrays import row_files
from deeptracker.store.spans import Span, Thinned

GROUP, SIZE, ROWS = "filters/probe", 16, 200
NAMES = ("act_mean", "act_std", "act_zero_fraction")


class Killed(BaseException):
    """Ends a thinning as a kill would: nothing after it is done."""


def values(position: int) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.arange(6, dtype=np.float32) + 7 * position + k for k, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SHARD_ROWS", (SIZE, SIZE))
        path = tmp_path_factory.mktemp("whole") / "run"
        with LogWriter(path, background=False) as writer:
            for position in range(ROWS):
                writer.append(GROUP, position, values(position))
        yield path


def killed_after(steps: int, patch: pytest.MonkeyPatch) -> None:
    """Let the marker (step 0), the stages (1) and each deleted folder (2, 3, …) be the last that is done."""
    left = [steps]

    def counted(work: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if left[0] < 0:
                raise Killed
            left[0] -= 1
            return work(*arguments, **options)

        return wrapped

    patch.setattr(disk, "save_commit", counted(disk.save_commit))
    patch.setattr(act, "save_stages", counted(act.save_stages))
    patch.setattr("deeptracker.store.folder.shutil.rmtree", counted(shutil.rmtree))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shards=st.sets(st.integers(0, ROWS // SIZE - 1), min_size=1, max_size=6),
    steps=st.integers(-1, 20),
    cut=st.none() | st.integers(1, ROWS - 1),
)
def test_kill__leaves_a_run_that_reads_as_before_or_as_thinned(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, shards: set[int], steps: int, cut: int | None
) -> None:
    path = tmp_path_factory.mktemp("killed") / "run"
    shutil.copytree(whole, path)
    row_files.cache_clear()
    spans = [Span(number * SIZE, (number + 1) * SIZE, 1) for number in sorted(shards)]
    with pytest.MonkeyPatch.context() as patch:
        killed_after(steps, patch)
        with contextlib.suppress(Killed):
            act.delete_shards(open_run(path), {GROUP: spans})
    gone = np.zeros(ROWS, bool)
    if steps >= 0:
        for span in spans:
            gone[span.start : span.stop] = True
    check(path, gone, ROWS)
    with LogWriter(path, background=False) as writer:  # a new start finishes what the kill left
        left = {int(child.name) for child in (path / "log.zarr" / GROUP / "act_std" / "c").iterdir()}
        assert left == {n for n in range(-(-ROWS // SIZE)) if not gone[n * SIZE : (n + 1) * SIZE].all()}
        if cut is not None:
            writer.cut(cut)
            gone[cut:] = False
            for position in range(cut, ROWS + 20):
                writer.append(GROUP, position, values(position))
    LogWriter(path, background=False).close()  # nor may another start take what was recorded anew
    rows = ROWS if cut is None else ROWS + 20
    check(path, np.concatenate([gone, np.zeros(rows - ROWS, bool)]), rows)
    assert verify(path) == []


def check(path: Path, gone: np.ndarray[Any, Any], rows: int) -> None:
    stored = open_run(path).dataset(GROUP)
    np.testing.assert_array_equal(stored["iteration"], np.arange(rows))
    for name in NAMES:
        expected = np.stack([values(position)[name] for position in range(rows)])
        expected[gone] = np.nan
        np.testing.assert_array_equal(stored[name], expected)
    assert int(open_run(path).thinned["rows"].sum()) == gone.sum()


spans_of_shards = st.sets(st.integers(0, 30), max_size=12).map(
    lambda numbers: [Span(n * SIZE, (n + 1) * SIZE, n) for n in sorted(numbers)]
)


@given(spans_of_shards, st.integers(0, 31 * SIZE))
def test_thinned__covers_what_was_added_and_not_cut(spans: list[Span], rows: int) -> None:
    thinned = Thinned().add(spans[::2]).add(spans[1::2])
    mask = np.zeros(32 * SIZE, bool)
    for span in spans:
        mask[span.start : span.stop] = True
    np.testing.assert_array_equal(thinned.covers(np.arange(len(mask))), mask)
    assert thinned.nbytes == sum(span.nbytes for span in spans)
    assert list(thinned.shards(SIZE)) == [span.start // SIZE for span in spans]
    shorter = thinned.cut(rows)
    mask[rows:] = False
    np.testing.assert_array_equal(shorter.covers(np.arange(len(mask))), mask)
    assert shorter.rows == mask.sum()
    assert set(shorter.shards(SIZE)) == {n for n in range(32) if mask[n * SIZE : (n + 1) * SIZE].all()}
