"""Alarms become events: joined in time, dated, named, ranked."""

from __future__ import annotations

import numpy as np

from deeptracker.detect.alarms import Alarm, _traced_back, stretches
from deeptracker.detect.causes import cause_of
from deeptracker.detect.events import Names, document, join, rank, rate_label
from deeptracker.detect.rates import RateEvent

NAMES = Names(["conv1", "conv2", "fc"], [4, 8, 3], [0, 4, 12], ["cat", "dog", "bird"])


def alarm(kind, place, onset, end=None, *, what="bn_beta", excess=2.0, falsely=1e-3, **facts) -> Alarm:
    end = onset if end is None else end
    facts = {"score": 9.0, "at": onset, "count": 2, "of": 4, "lasts": True, "view": "validation/raw",
             "images": 20, "expected": 2.0, "direction": what} | facts  # fmt: skip
    return Alarm(kind, place, what, onset, end, onset, onset, excess, falsely, {}, facts)


def test_join__takes_alarms_within_one_validation_interval_together() -> None:
    groups = join([alarm("layer", 0, 100, 104), alarm("layer", 1, 111), alarm("layer", 2, 200)], gap=8)
    assert [[a.onset for a in g] for g in groups] == [[100, 111], [200]]


def test_join__the_return_to_normal_of_the_same_place_belongs_to_the_event() -> None:
    groups = join([alarm("layer", 0, 100), alarm("layer", 0, 140), alarm("layer", 1, 260)], gap=8)
    assert [[a.onset for a in g] for g in groups] == [[100, 140], [260]]


def test_join__a_state_that_lasts_does_not_swallow_what_comes_long_after() -> None:
    groups = join([alarm("state", 0, 100, 900, what="dead"), alarm("layer", 1, 500)], gap=8)
    assert len(groups) == 2


def test_join__a_fact_is_an_event_of_its_own_unless_it_began_with_another() -> None:
    earlier = [alarm("filters", 0, 100, 130), alarm("layer", 1, 136, 150)]
    for fact in (alarm("state", 0, 120, 900, what="dead"), alarm("rate", -1, 120), batch("gone", 1, onset=120)):
        first, second = join([*earlier, fact], gap=8)[:2]
        assert [a.onset for a in first] == [100]
        assert second[0] is fact
    with_it = alarm("state", 0, 106, 900, what="dead")
    passing = alarm("state", 0, 120, 150, what="dead", lasts=False)
    for part in (with_it, passing):
        assert len(join([*earlier, part], gap=8)) == 1


def test_join__batches_that_go_on_being_wrong_are_one_event() -> None:
    crowded = batch("crowded", onset=100, end=160)
    later = [batch("gone", 1, onset=130, end=150), batch("relabelled", 2, onset=155, end=170)]
    assert len(join([crowded, *later], gap=8)) == 1
    assert len(join([batch("crowded", onset=100, end=120), *later], gap=8)) == 3


def test_document__is_dated_by_what_batches_held_and_not_by_an_alarm_that_stood_before() -> None:
    held, stood = batch("relabelled", 1, onset=104, instead=0), alarm("filters", 0, 100, 140)
    assert document([stood, alarm("layer", 1, 105), held], NAMES, 8)["iteration"] == 104
    gone = batch("gone", 1, onset=106, instead=-1)
    gone.start = 104  # an absence is told some batches after it began: what came between is of it
    assert document([stood, alarm("layer", 1, 105), gone], NAMES, 8)["iteration"] == 105
    assert document([stood, alarm("layer", 1, 105)], NAMES, 8)["iteration"] == 100


def test_document__is_dated_by_a_sum_unless_something_sharper_stands_soon_after_its_beginning() -> None:
    slow = alarm("shift", 0, 97, 140)
    assert document([slow], NAMES, 8)["iteration"] == 97
    assert document([slow, alarm("layer", 1, 100)], NAMES, 8)["iteration"] == 100
    assert document([slow, alarm("layer", 1, 120)], NAMES, 8)["iteration"] == 97


def test_onset__is_traced_back_to_where_half_the_level_was_passed() -> None:
    before = np.array([[0.6, 0.1], [0.3, 0.2], [0.1, 0.55], [0.8, np.nan]], np.float32)
    assert _traced_back(before) == 2
    assert _traced_back(before[:0]) == 0


def test_stretches__close_gaps_of_iterations_not_of_records() -> None:
    flags = np.array([True, False, True, False, True])
    assert stretches(flags, np.array([0, 5, 8, 100, 105]), 8) == [(0, 2), (4, 4)]


def test_cause__facts_come_before_shapes() -> None:
    layers = [alarm("layer", n, 100, what="bn_running_var") for n in range(3)]
    loss = alarm("model", -1, 100, 101, what="loss")
    dead = alarm("state", 1, 100, 900, what="dead")
    spike = alarm("rate", -1, 100, what="learning_rate")
    assert cause_of([*layers, loss], 100, 3) == "bad-batch"
    assert cause_of([*layers, loss, dead], 100, 3) == "dead-filters"
    assert cause_of([*layers, loss, dead, spike], 100, 3) == "lr-spike"


def test_cause__few_classes_that_turn_wrong_are_label_noise_and_none_known_is_unknown() -> None:
    lost = alarm("class", 1, 104, what="loss", excess=1.5)
    moved = alarm("layer", 2, 100, 130)
    assert cause_of([moved, lost], 100, 3) == "label-noise"
    assert cause_of([moved], 100, 3) == "unknown"
    assert cause_of([lost], 104, 3) == "validation-only"


def batch(what: str, place: int = -1, onset: int = 100, end: int = 140, **facts) -> Alarm:
    facts = {"height": 20.0, "batches": end - onset + 1, "expected": 80.0, "instead": -1} | facts
    return Alarm("batch", place, what, onset, end, onset, onset + 5, float("inf"), 0.0, {}, facts)


def test_cause__what_batches_held_at_the_onset_comes_before_what_it_did_to_weights_and_answers() -> None:
    moved = [alarm("layer", n, 100, 130, what="w_rms") for n in range(3)]
    lost = alarm("class", 1, 104, what="loss", excess=1.5)
    gone = batch("gone", 1)
    assert cause_of([*moved, lost, gone], 100, 3) == "missing-class"
    assert cause_of([*moved, lost, batch("relabelled", 1, instead=2)], 100, 3) == "label-noise"
    assert cause_of([*moved, lost, gone, batch("crowded")], 100, 3) == "data-order"
    assert cause_of([*moved, gone, batch("repeated")], 100, 3) == "data-order"
    assert cause_of([*moved, batch("gone", 1, onset=120)], 100, 3) == "unknown"


def test_cause__filters_dead_for_a_while_only_are_not_what_went_wrong() -> None:
    moved = alarm("layer", 2, 100, 130)
    for end, lasts, cause in ((140, False, "unknown"), (220, False, "dead-filters"), (140, True, "dead-filters")):
        assert cause_of([moved, alarm("state", 1, 100, end, what="dead", lasts=lasts)], 100, 3) == cause
    for state in ("frozen", "exploding", "saturated"):
        passing = alarm("state", 1, 100, 140, what=state, lasts=False)
        assert cause_of([moved, passing], 100, 3) == f"{state}-filters"


def test_cause__one_layer_that_shrinks_on_and_on_decays_and_one_that_jumps_does_not() -> None:
    shrinks = alarm("layer", 1, 100, 160, what="w_rms", score=-40.0, at=130)
    assert cause_of([shrinks], 100, 6) == "decay-or-normalisation"
    assert cause_of([shrinks, alarm("model", -1, 100, 160, what="loss")], 100, 6) == "unknown"
    assert cause_of([alarm("layer", 1, 100, 160, what="w_rms", score=40.0, at=130)], 100, 6) == "unknown"
    assert cause_of([alarm("layer", 1, 100, 160, what="w_rms", score=-40.0, at=100)], 100, 6) == "unknown"
    assert cause_of([shrinks, alarm("layer", 2, 100, 160, what="w_rms", score=-40.0, at=130)], 100, 6) == "unknown"


def test_cause__running_statistics_alone_point_to_the_normalisation() -> None:
    means = [alarm("layer", n, 100 + n, 130, what="bn_running_mean") for n in range(3)]
    assert cause_of(means, 100, 6) == "decay-or-normalisation"
    assert cause_of([*means, alarm("layer", 0, 101, 130, what="grad_ratio2")], 100, 6) == "unknown"
    assert cause_of(means[:1], 100, 6) == "unknown"


def test_cause__a_step_without_a_memory_says_that_it_was_lost() -> None:
    moved = [alarm("layer", 0, 100, what="w_rms"), alarm("class", 1, 104, what="loss", excess=2)]
    anew = alarm("memory", -1, 100, what="empty", made_of="sign")
    assert cause_of([*moved, anew], 100, 8) == "state-lost"
    assert cause_of([*moved, anew, alarm("rate", -1, 100)], 100, 8) == "lr-spike"
    event = document([*moved, anew], NAMES, 10)
    assert event["evidence"][0]["text"].startswith("every weight's update was as large as the learning rate at 100: ")


def test_document__names_the_class_that_was_gone_and_the_one_that_took_its_labels() -> None:
    event = document([batch("relabelled", 1, instead=2), alarm("layer", 0, 101)], NAMES, 10)
    assert event["classes"] == ["dog", "bird"]
    assert (event["iteration"], event["known_at"], event["false_per_1000"]) == (100, 101, 0.0)
    assert event["evidence"][0]["text"] == (
        "batches from 100 to 140: no image of class dog, 80 expected, and about as many more of class bird"
    )


def test_document__puts_the_place_of_a_state_first_and_names_classes_that_lost() -> None:
    event = document(
        [
            alarm("layer", 2, 100, excess=50),
            alarm("state", 1, 100, 900, what="dead"),
            alarm("class", 0, 104, what="gain", excess=3),
            alarm("class", 2, 104, what="loss", excess=2),
        ],
        NAMES,
        8,
    )
    assert event["layers"] == ["conv2", "fc"]
    assert event["classes"] == ["bird", "cat"]
    assert event["iteration"] == 100
    assert {"text", "expression", "for"} == set(event["evidence"][0])


def test_evidence__begins_with_what_the_cause_rests_on() -> None:
    moved, lost = alarm("layer", 2, 100, 130, excess=40), alarm("class", 1, 104, what="loss", excess=1.5)
    assert document([moved, lost], NAMES, 8)["evidence"][0]["text"].startswith("class dog: 20 images turned wrong")
    three = [alarm("class", n, 104, what="loss", excess=1.5) for n in range(3)]
    assert document([moved, *three], NAMES, 8)["evidence"][0]["text"].startswith("fc:")


def test_rank__by_how_seldom_chance_does_it_then_by_extent_labels_last() -> None:
    base = document([alarm("layer", 0, 10)], NAMES, 8)
    events = [
        rate_label(RateEvent(5, 0.1, False), 5),
        base | {"false_per_1000": 1e-2, "iteration": 1},
        base | {"false_per_1000": 1e-6, "iteration": 2},
        base | {"false_per_1000": 1e-6, "iteration": 3, "layers": ["conv1", "conv2"]},
    ]
    ranked = rank(events)
    assert [e["iteration"] for e in ranked] == [3, 2, 1, 5]
    assert [e["rank"] for e in ranked] == [1, 2, 3, 4]


def test_rank__what_chance_would_never_do_is_alike_and_stands_by_extent() -> None:
    base = {"kind": "anomaly", "layers": [], "classes": []}
    events = [
        base | {"false_per_1000": 0.0, "iteration": 1},
        base | {"false_per_1000": 1e-28, "iteration": 2, "layers": ["conv1", "conv2"], "classes": ["cat"]},
    ]
    assert [event["iteration"] for event in rank(events)] == [2, 1]
