"""Workers in other processes read a run from a bucket, and write the analysis to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from same import assert_same

from deeptracker.analysis import analyze
from deeptracker.cluster import Profile, connect
from deeptracker.store import open_run
from deeptracker.testing import simulate


def test_workers__read_and_write_the_bucket_with_what_their_environment_says(buckets: Any, tmp_path: Path) -> None:
    simulate(tmp_path / "run", model="tiny", iterations=70, images=20, passes=6, classes=3, seed=4)
    buckets.upload(tmp_path / "run", "runs/workers/run")
    alone = analyze(tmp_path / "run")
    with connect(Profile(workers=2, threads=1)) as client:
        analyze("s3://runs/workers/run", client=client)
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter) > 0
    assert_same(open_run("s3://runs/workers/run"), alone)
