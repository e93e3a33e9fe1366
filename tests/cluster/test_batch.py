"""Parts of the work that are computed together: each gets its own results, on threads and on a cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import pytest
from distributed import get_client

from deeptracker.aggregate import Batch, alone
from deeptracker.cluster import Profile, connect

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker cannot import tests


@pytest.fixture(scope="module", params=["threads", "cluster"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[Any]:
    """What ``dask.config`` takes: a name, or the client of a worker."""
    if request.param == "threads":
        yield "threads"
        return
    with connect(Profile(workers=1)) as client:
        yield client


def tasks(*numbers: int) -> list[Any]:
    return [dask.delayed(abs, pure=False)(number) for number in numbers]


def test_parts__get_their_own_results_in_the_order_of_their_tasks(scheduler: Any) -> None:
    with dask.config.set(scheduler=scheduler):
        batch = Batch()
        one, none, two = batch.add(tasks(-3, 1, -2), tuple), batch.add([], tuple), batch.add(tasks(-9), tuple)
        doubled = two.then(lambda values: [2 * value for value in values])
        batch.compute("parts", None)
    assert (one.value, none.value, two.value, doubled.value) == ((3, 1, 2), (), (9,), [18])


def test_part__that_is_added_by_another_is_done_too(scheduler: Any) -> None:
    with dask.config.set(scheduler=scheduler):
        batch = Batch()
        first = batch.add(tasks(-1, -2), sum)
        more = first.then(lambda total: batch.add(tasks(-total, 10), sum))
        last = more.then(lambda total: batch.add(tasks(-total), sum).then(str))
        batch.compute("parts", None)
    assert (first.value, more.value, last.value) == (3, 13, "13")


def test_cluster__works_on_other_parts_while_something_is_made_of_one(tmp_path: Path) -> None:
    def seen(path: Path) -> bool:
        end = time.monotonic() + 20
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.01)
        return path.exists()

    with connect(Profile(workers=1)) as client, dask.config.set(scheduler=client):
        batch = Batch()
        made = batch.add(tasks(1), lambda _: (tmp_path / "made").touch())
        waited = batch.add([dask.delayed(seen, pure=False)(tmp_path / "made")], all)
        batch.compute("parts", None)
    assert waited.value
    assert made.value is None


def test_cluster__begins_parts_in_the_order_in_which_they_were_added(tmp_path: Path) -> None:
    def note(name: str) -> None:
        with (tmp_path / "order").open("a") as file:
            file.write(name)

    with connect(Profile(workers=1)) as client, dask.config.set(scheduler=client):
        batch = Batch()
        for name in "abc":
            batch.add([dask.delayed(note, pure=False)(name) for _ in range(10)], list)
        batch.compute("parts", None)
    assert (tmp_path / "order").read_text() == 10 * "a" + 10 * "b" + 10 * "c"


def test_cluster__does_what_follows_on_a_part_before_parts_that_were_added_later(tmp_path: Path) -> None:
    def note(name: str, seconds: float) -> None:
        time.sleep(seconds)
        with (tmp_path / "order").open("a") as file:
            file.write(name)

    def noting(name: str, *, times: int = 1, seconds: float = 0.0) -> list[Any]:
        return [dask.delayed(note, pure=False)(name, seconds) for _ in range(times)]

    with connect(Profile(workers=1)) as client, dask.config.set(scheduler=client):
        batch, made = Batch(), []
        first = batch.add(noting("a"), list)
        later = batch.add(noting("b", times=40, seconds=0.05), list)
        first.then(lambda _: batch.add(noting("c"), list)).then(lambda _: made.append("c"))
        later.then(lambda _: made.append("b"))
        batch.compute("parts", None)
    order = (tmp_path / "order").read_text()
    assert order.replace("c", "") == "a" + 40 * "b"
    assert order.index("c") < 30
    assert made == ["c", "b"]


def test_cluster__begins_at_once(tmp_path: Path) -> None:
    with connect(Profile(workers=1)) as client, dask.config.set(scheduler=client):
        batch = Batch()
        batch.add([dask.delayed(Path.touch, pure=False)(tmp_path / "begun")], list)
        end = time.monotonic() + 20
        while not (tmp_path / "begun").exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert (tmp_path / "begun").exists()


def test_failure__of_a_part_is_raised_and_leaves_nothing_to_do(scheduler: Any) -> None:
    done: list[Any] = []
    with dask.config.set(scheduler=scheduler):
        batch = Batch()
        batch.add([dask.delayed(int, pure=False)("none")], list)
        batch.add(tasks(1), done.append)
        with pytest.raises(ValueError, match="none"):
            batch.compute("parts", None)
        batch.compute("nothing", None)
        assert not done
        assert alone(Batch.add, tasks(-4), sum) == 4


def test_batch__inside_a_task_of_the_cluster_leaves_its_thread_to_the_others() -> None:
    def analysis() -> int:
        with dask.config.set(scheduler=get_client()):
            return int(alone(Batch.add, tasks(-4, -5), sum))

    with connect(Profile(workers=1)) as client:
        assert client.submit(analysis, pure=False).result(timeout=20) == 9


def test_cluster__lets_go_of_what_was_fetched_while_it_works_on_the_same_part() -> None:
    def let_go(after: int) -> bool:
        """Whether the worker comes to hold nothing but what was not fetched yet."""
        from distributed import get_worker

        end = time.monotonic() + 20
        while len(get_worker().data) > 32 and time.monotonic() < end:
            time.sleep(0.01)
        return len(get_worker().data) <= 32

    with connect(Profile(workers=1)) as client, dask.config.set(scheduler=client):
        batch = Batch()
        first = tasks(*range(100))
        last = batch.add([*first, dask.delayed(let_go, pure=False)(dask.delayed(len)(first))], lambda made: made[-1])
        batch.compute("parts", None)
    assert last.value
