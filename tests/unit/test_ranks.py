"""Answers of all ranks come to rank 0, each image once; nothing is left behind and nobody waits twice."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from torch import distributed

from deeptracker.errors import InputError
from deeptracker.record import ranks
from deeptracker.record.ranks import Exchange, merge


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """Exchanges of three ranks over one store in memory."""
    store = distributed.HashStore()
    monkeypatch.setattr(distributed.distributed_c10d, "_get_default_store", lambda: store)
    monkeypatch.setattr(ranks, "world_size", lambda: 3)
    monkeypatch.setattr(ranks, "WAIT_SECONDS", 0.3)
    made = []
    for rank in range(3):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(ranks, "_number", itertools.count())  # each process counts for itself
        made.append(Exchange())
    return made


def part(ids: list[int], predicted: list[int]) -> ranks.Part:
    return {"predicted": np.array(predicted), "ids": np.array(ids)}


def test_merge__takes_each_image_once_in_the_order_of_the_ranks() -> None:
    merged = merge([part([4, 0], [1, 2]), part([2, 4], [3, 9])])
    assert merged["ids"].tolist() == [4, 0, 2]
    assert merged["predicted"].tolist() == [1, 2, 3]


def test_merge__of_equal_answers_without_ids_is_one_of_them() -> None:
    answers = {"predicted": np.array([1, 2]), "loss": np.array([0.5, np.nan])}
    assert merge([answers, {name: array.copy() for name, array in answers.items()}]) is answers


@pytest.mark.parametrize("other", [{"predicted": np.array([1, 3])}, {"predicted": np.array([1, 2, 3])}])
def test_merge__of_different_answers_without_ids_is_refused(other) -> None:
    with pytest.raises(InputError, match="ids="):
        merge([{"predicted": np.array([1, 2])}, other])


def test_merge__of_different_arrays_is_refused() -> None:
    with pytest.raises(InputError, match="different arrays"):
        merge([part([0], [1]), {"predicted": np.array([1])}])


def test_exchange__brings_all_parts_and_leaves_nothing_in_the_store(exchanges) -> None:
    first, *others = exchanges
    before = first._store.num_keys()
    for rank, exchange in enumerate(others, 1):
        exchange.post("validation/raw", 7, part([rank], [10 * rank]))
    merged = first.collect("validation/raw", 7, part([0], [0]))
    assert merged["ids"].tolist() == [0, 1, 2]
    assert merged["predicted"].tolist() == [0, 10, 20]
    assert first._store.num_keys() == before
    assert first.silent == []


def test_exchange__names_of_images_travel_without_pickling(exchanges) -> None:
    first, second, third = exchanges
    for exchange, name in ((second, "ä"), (third, "a long name")):
        names = np.array([name], np.dtypes.StringDType())
        exchange.post("v/raw", 0, {"predicted": np.array([1]), "ids": names})
    merged = first.collect("v/raw", 0, {"predicted": np.array([1]), "ids": np.array(["x"])})
    assert merged["ids"].tolist() == ["x", "ä", "a long name"]


def test_exchange__waits_once_and_then_goes_on_alone(exchanges) -> None:
    first, second, third = exchanges
    second.post("v/raw", 0, part([1], [1]))
    assert first.collect("v/raw", 0, part([0], [0]))["ids"].tolist() == [0, 1]
    assert first.silent == [2]
    began = time.perf_counter()
    keys = first._store.num_keys()
    third.post("v/raw", 1, part([2], [2]))
    assert first.collect("v/raw", 1, part([0], [0]))["ids"].tolist() == [0]
    assert time.perf_counter() - began < 0.2
    assert first._store.num_keys() == keys, "nobody collects it: it is not sent"


def test_exchange__answers_that_nobody_collects_do_not_pile_up(exchanges) -> None:
    _, second, _ = exchanges
    before = second._store.num_keys()
    for step in range(10):
        second.post("v/raw", step, part([1], [1]))
    assert second._store.num_keys() - before == 2


def test_exchange__of_a_rank_without_a_recorder_is_not_waited_for(monkeypatch) -> None:
    store = distributed.HashStore()
    monkeypatch.setattr(distributed.distributed_c10d, "_get_default_store", lambda: store)
    monkeypatch.setattr(ranks, "world_size", lambda: 2)
    monkeypatch.setattr(ranks, "WAIT_SECONDS", 30.0)
    monkeypatch.setattr(ranks, "GREETING_SECONDS", 0.1)
    exchange = Exchange()
    began = time.perf_counter()
    for step in range(2):
        assert exchange.collect("v/raw", step, part([0], [0]))["ids"].tolist() == [0]
    assert time.perf_counter() - began < 2
    assert exchange.silent == []
