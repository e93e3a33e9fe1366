"""Planted faults are judged by what they changed, not by what was planted; nothing counts twice or for free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deeptracker.demo.images import Images
from deeptracker.testing.faults import FAULTS, plant
from deeptracker.trials.baselines import Heights
from deeptracker.trials.course import Course
from deeptracker.trials.effect import AROUND, Effect, Measured, effect_of
from deeptracker.trials.figures import Figures
from deeptracker.trials.judge import CAUSES, judge
from deeptracker.trials.settings import SETTINGS, cosine, steady
from deeptracker.trials.tables import rows

FIRST, RECORDS = 100, 80
TRUTH = {"fault": "dead-filters", "layers": ("b",), "channels": (3, 5), "classes": ()}


def measured(rng: np.random.Generator, noise: float = 1.0) -> Measured:
    steps = np.arange(FIRST, FIRST + RECORDS)
    records = rng.uniform(-noise, noise, (RECORDS, 4))
    return Measured(steps, steps[::10], records, np.full((RECORDS // 10, 3), 0.5))


@pytest.fixture
def twins() -> list[Measured]:
    return [measured(np.random.default_rng(seed)) for seed in range(5)]


def changed(twin: Measured, **rows: np.ndarray[Any, Any]) -> Measured:
    return Measured(twin.iteration, twin.validation, **{"records": twin.records, "passes": twin.passes, **rows})


def test_effect__of_a_training_like_its_twin_is_masked(twins: list[Measured]) -> None:
    assert effect_of(twins[0], twins[0], twins) == Effect(None, 0.0, "records")
    small = changed(twins[0], records=twins[0].records + 0.5)
    assert effect_of(small, twins[0], twins).severity == "masked"


def test_effect__begins_where_the_twins_spread_is_exceeded_and_not_where_the_fault_was_planted(
    twins: list[Measured],
) -> None:
    records = twins[0].records.copy()
    records[30:, 2] += np.linspace(0, 20, RECORDS - 30)  # planted at 30; two twins are at most 2 apart
    effect = effect_of(changed(twins[0], records=records), twins[0], twins)
    spread = max(abs(a.records - b.records)[:, 2].max() for a in twins for b in twins)
    first = next(row for row in range(RECORDS) if abs(records - twins[0].records)[row, 2] > spread)
    assert effect.onset is not None
    assert FIRST + 30 < effect.onset <= FIRST + first
    assert effect.seen == "records"
    assert effect.size == pytest.approx(20 / 2, rel=0.2)
    assert effect.severity in ("3–10", "> 10")


def test_effect__that_only_the_answers_show_begins_at_a_pass(twins: list[Measured]) -> None:
    passes = twins[0].passes.copy()
    passes[4:, 1] = 0.4
    effect = effect_of(changed(twins[0], passes=passes), twins[0], twins)
    assert (effect.onset, effect.seen) == (FIRST + 40, "passes")
    assert effect.size == pytest.approx(0.1 / 0.02)


def test_effect__a_value_that_is_missing_on_one_side_is_infinitely_far(twins: list[Measured]) -> None:
    records = twins[0].records.copy()
    records[11, 0] = np.nan
    assert effect_of(changed(twins[0], records=records), twins[0], twins) == Effect(FIRST + 11, np.inf, "records")


def test_effect__takes_the_twins_spread_from_the_records_around(twins: list[Measured]) -> None:
    for twin in twins:
        twin.records[:] = 0
    twins[1].records[40, 0] = 4.0
    for row, expected in ((40 - AROUND, "1–3"), (40 - AROUND - 1, "> 10")):
        records = twins[0].records.copy()
        records[row, 0] = 6.0
        assert effect_of(changed(twins[0], records=records), twins[0], twins).severity == expected


def event(iteration: int, **what: Any) -> dict[str, Any]:
    usual = {"known_at": iteration + 1, "layers": ["b"], "classes": [], "filters": [], "cause": "dead-filters"}
    return {"iteration": iteration, **usual, **what}


def test_judge__an_event_hits_within_two_records_of_the_effect() -> None:
    effect = Effect(150, 5.0, "records")
    places = {at: judge(TRUTH, effect, [event(at)]).place for at in range(145, 156)}
    assert [at for at, place in places.items() if place == 1] == [148, 149, 150, 151, 152]


def test_judge__an_event_that_only_answers_show_hits_within_one_interval() -> None:
    effect = Effect(150, 5.0, "passes")
    only = {"layers": [], "classes": ["3"], "cause": "validation-only"}
    assert judge(TRUTH, effect, [event(160, **only)]).place == 1
    assert judge(TRUTH, effect, [event(161, **only)]).place is None


def test_judge__every_other_event_is_a_false_alarm() -> None:
    verdict = judge(TRUTH, Effect(150, 5.0, "records"), [event(120), event(151), event(152), event(200)])
    assert (verdict.place, verdict.others, verdict.delay) == (2, 2, 2)
    masked = judge(TRUTH, Effect(None, 0.4, "records"), [event(150)])
    assert (masked.place, masked.others, masked.cause) == (None, 1, "none")
    assert judge({**TRUTH, "fault": "none", "channels": ()}, None, [event(150)]).others == 1


def test_judge__ranks_of_layers_and_precision_of_filters() -> None:
    named = [{"layer": layer, "channel": channel} for layer, channel in (("b", 5), ("a", 3), ("b", 3))]
    verdict = judge(TRUTH, Effect(150, 5.0, "records"), [event(150, layers=["a", "b"], filters=named)])
    assert verdict.layer == 2
    assert verdict.precision == pytest.approx((1 / 1 + 2 / 3) / 2)
    half = judge(TRUTH, Effect(150, 5.0, "records"), [event(150, filters=named[:1])])
    assert half.precision == pytest.approx(0.5)  # a filter that is not named has precision 0


def test_causes__every_kind_of_fault_has_a_right_answer() -> None:
    assert set(CAUSES) == set(FAULTS)


def test_heights__alarms_are_stretches_joined_over_one_interval() -> None:
    heights = np.zeros(60)
    heights[[10, 12, 30, 50, 51]] = 3, 5, 4, 1, 9
    of = Heights(np.arange(60), heights, np.arange(60).astype(str))
    assert of.alarms(3, first=0) == [(51, "51", 9.0), (10, "12", 5.0), (30, "30", 4.0)]
    assert of.alarms(3, first=20) == [(51, "51", 9.0), (30, "30", 4.0)]


def result(base: int | None, place: int | None, *, size: float = 9.0, events: int = 0, **what: Any) -> dict[str, Any]:
    return {
        "setting": "residual",
        "base": base,
        "truth": {"fault": "dead-filters", **what},
        "effect": None if base is None else {"onset": 150, "size": size, "severity": "3–10"},
        "verdict": {"place": place, "layer": place, "class_": None, "precision": 0.5, "cause": "dead-filters"},
        "events": [{"cause": "bad-batch"}] * events,
        "records": 1300,
        "first": 0,
    }


def test_figures__recall_counts_faults_with_an_effect_and_bounds_it_over_bases(tmp_path: Path) -> None:
    forks = [result(base, place) for base in range(4) for place in (1, 1, 3, None)]
    forks += [result(0, None, size=2.0), result(0, None, fault="lr-drop")]
    figures = Figures(forks, tmp_path)
    first = figures.recall(figures.faults(), 1)
    assert (first.value, first.count) == (0.5, 16)
    assert (first.low, first.high) == (0.5, 0.5)  # all bases are alike
    assert figures.recall(figures.faults(), 5).value == 0.75
    assert figures.recall(figures.faults(least=0), 5).count == 17
    apart = Figures([result(base, 1 if base < 2 else None) for base in range(4)], tmp_path)
    share = apart.recall(apart.faults(), 1)
    assert share.value == 0.5
    assert (share.low, share.high) == (0, 1)


def test_figures__a_withheld_class_can_be_dated_by_its_planting(tmp_path: Path) -> None:
    one = result(1, None)
    one["truth"] = {
        **one["truth"],
        "fault": "class-withheld",
        "classes": ["3"],
        "channels": [],
        "layers": [],
        "iteration": 100,
    }
    one["effect"] = {**one["effect"], "onset": 109}
    one["events"] = [event(101, cause="missing-class", classes=["3"])]
    figures = Figures([one], tmp_path)
    assert figures.class_([one]).value == 0
    assert figures.class_planted([one]).value == 1
    assert one["verdict"]["place"] is None  # the figure itself is left as it was
    late = {**one, "events": [event(103, cause="missing-class", classes=["3"])]}
    assert figures.class_planted([late]).value == 0


def test_figures__false_alarms_are_counted_from_where_there_can_be_any(tmp_path: Path) -> None:
    clean = [result(None, None, fault="none") for _ in range(20)]
    assert Figures(clean, tmp_path).false_alarms() == (0, 20_000)
    assert Figures(clean, tmp_path).rate() == "0.00, at most 0.15 (0)"  # 3.00 of 20 thousand
    clean[0]["events"] = [{"cause": "unknown"}] * 2
    assert Figures(clean, tmp_path).rate() == "0.10, at most 0.31 (2)"  # 6.30


def test_rows__have_one_for_each_training_and_nothing_where_there_is_nothing_to_say(tmp_path: Path) -> None:
    told = {"seed": 7, "iteration": 148}
    some = [
        one | {"name": f"training-{number}", "verdict": one["verdict"] | {"delay": 3, "others": 0}}
        for number, one in enumerate([result(1, 2, **told), result(None, None, **told | {"iteration": None})])
    ]
    rows(some).to_csv(tmp_path / "rows.csv", index=False)
    first, second = (tmp_path / "rows.csv").read_text().splitlines()[1:]
    assert first == "residual,training-0,dead-filters,7,148,150,9.0,2,dead-filters,2,,0.5,3,0,1300"
    assert second == "residual,training-1,dead-filters,7,,,,,dead-filters,,,0.5,3,0,1300"


@pytest.mark.parametrize(("height", "hits"), [(5.5, 1.0), (4.5, 0.0)])
def test_figures__a_baseline_that_may_raise_no_alarm_is_judged_just_above_its_highest_clean_one(
    tmp_path: Path, height: float, hits: float
) -> None:
    (tmp_path / "residual").mkdir()
    clean, fork = result(None, None) | {"name": "clean"}, result(0, 1) | {"name": "fork"}
    for name, at, top in (("clean", 700, 5.0), ("fork", 150, height)):
        heights = np.zeros(1300)
        heights[at] = top
        np.savez(
            tmp_path / "residual" / f"{name}.heights.npz",
            **{"rule/steps": np.arange(1300), "rule/heights": heights, "rule/places": np.full(1300, "")},
        )
    first, _, less = Figures([clean, fork], tmp_path).against()["rule"]
    assert (first.value, less.value) == (hits, 1 - hits)


def test_schedules() -> None:
    rate = steady(1.0, 10, 20, factor=0.1)
    assert [rate(step) for step in (9, 10, 20)] == pytest.approx([1, 0.1, 0.01])
    rate = cosine(2.0, 4, 104, floor=0.1)
    assert [rate(0), rate(3), rate(4), rate(54), rate(104), rate(500)] == pytest.approx([0.4, 1.6, 2, 1.1, 0.2, 0.2])


@pytest.mark.parametrize("name", list(SETTINGS))
def test_course__a_fork_is_the_training_that_was_not_forked(name: str, tmp_path: Path) -> None:
    setting = SETTINGS[name]
    images = tuple(
        Images(torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(n)), torch.arange(n) % 10)
        for n in (200, 40)
    )
    none = plant("none", 0, (0, 1), setting.ground)
    whole, parted = Course(setting, 3, images), Course(setting, 3, images)
    whole.run(tmp_path / "whole", 8, order=1, rate=setting.rate, fault=none)
    parted.run(tmp_path / "parted", 5, order=1, rate=setting.rate, fault=none)
    parted.save(tmp_path / "kept.pt")
    fork = Course(setting, 4, images)
    fork.load(tmp_path / "kept.pt")
    fork.run(tmp_path / "parted", 8, order=1, rate=setting.rate, fault=none)
    for one, other in zip(whole.model.state_dict().values(), fork.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_settings__faults_can_be_planted_in_the_layers_they_name(name: str) -> None:
    setting = SETTINGS[name]
    model = setting.build(1)
    for layer, owner in setting.ground.sites:
        assert model.get_submodule(owner).bias is not None
        assert model.get_submodule(layer).weight is not None
    for kind in setting.kinds:
        plant(kind, 1, (0, 1), setting.ground).before_step(0, model, setting.optimizer(model))
