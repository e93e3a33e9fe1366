"""What cannot be stored as it is given is refused in one line; nothing is wrapped, cut or rounded in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import deeptracker as dt
from deeptracker import conform
from deeptracker.aggregate.levels import Layers, merge_layers
from deeptracker.app.state import State
from deeptracker.detect.few import steps as few_steps
from deeptracker.detect.rates import rate_events, segments
from deeptracker.errors import InputError
from deeptracker.ingest.outcome import Outcome
from deeptracker.ingest.scalars import Scalars
from deeptracker.record.evaluate import evaluate
from deeptracker.recording import ingest_run
from deeptracker.store.catalogue import summary
from deeptracker.testing import MemorySink

NAN, INF = float("nan"), float("inf")
LAST = 2**53 - 1


@pytest.mark.parametrize("value", [0, LAST, np.int64(7), np.uint8(7), 7.0, np.float32(7), torch.tensor(7), True])
def test_position__whole_numbers_of_any_type_are_taken_exactly(value: object) -> None:
    found = conform.position(value)
    assert type(found) is int
    assert found == value


@pytest.mark.parametrize(
    "value", [-1, 2**53, 2**53 + 1, 2**63, 2**70, 2.5, NAN, INF, None, "3", torch.tensor([1, 2]), 1j, 1e300]
)
def test_position__anything_else_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="no whole number from 0 to"):
        conform.position(value)


@pytest.mark.parametrize("value", [32_768, -2, 0.5, INF, 2**40])
def test_answers__a_class_that_int16_does_not_hold_is_refused(value: float) -> None:
    assert conform.answers("predicted", [NAN, -1, 32_767.0]).tolist() == [-1, -1, 32_767]
    with pytest.raises(InputError, match="predicted"):
        conform.answers("predicted", [0, value])
    with pytest.raises(InputError, match="correct"):
        conform.answers("correct", [0, value])


@pytest.mark.parametrize("name", ["zarr.json", "param_group", "iteration", "x" * 201, "a\nb", "a\0", "\ud800", "a/b"])
def test_scalar__a_name_that_is_another_file_s_or_none_is_refused(name: str) -> None:
    assert conform.variable("scalars", "lóss ☃ e\u0301").dtype == "float64"
    with pytest.raises(InputError, match="cannot name a scalar"):
        conform.variable("scalars", name)


@pytest.mark.parametrize("name", ["..", ".", "_x", "zarr.json", "x" * 300, "a\0b"])
def test_set__a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    assert conform.declaration("images/vål ☃").path == "images/<set>"
    with pytest.raises(InputError, match="cannot name a set"):
        conform.declaration(f"images/{name}")


@pytest.mark.usefixtures("sinks")
def test_recorder__a_step_that_does_not_come_next_is_said_once_and_loses_no_other(capsys) -> None:
    with dt.Recorder(Path("run"), nn.Linear(2, 3), every=1) as recorder:
        recorder.images(target=[0, 1])
        for step in (0, 1, 2, 1, 2, 2.5, -1, 2**53, torch.tensor(3), np.int64(4)):
            recorder.validation(step, predicted=[0, 1])
            recorder.step(step, loss=1.0)
    assert recorder._sink.dataset("filters/dense").iteration.values.tolist() == [0, 1, 2, 3, 4]
    assert recorder._sink.dataset("scalars").iteration.values.tolist() == [0, 1, 2, 3, 4]
    assert recorder._sink.dataset("validation/validation/raw").validation.values.tolist() == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err.count("recording failed") == 1


@pytest.mark.usefixtures("sinks")
def test_recorder__steps_further_apart_than_int32_keep_their_rows() -> None:
    with dt.Recorder(Path("run"), nn.Linear(2, 3), every=1, strict=True) as recorder:
        for step in (0, 2**31, 2**40, LAST):
            recorder.step(step)
    for group in ("scalars", "filters/dense", "layers/dense"):
        assert recorder._sink.dataset(group).steps.values.tolist() == [-1, 2**31, 2**40 - 2**31, LAST - 2**40]


@pytest.mark.usefixtures("sinks")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target": [0, 40_000]}, "classes from 0 to 32,767"),
        ({"target": [0, -2]}, "classes from 0 to 32,767"),
        ({"target": [0, 1], "ids": [1, "1"]}, "not unique"),
        ({"target": [0, 1], "ids": [None, "None"]}, "not unique"),
        ({"target": [0, 1], "thumbnails": np.zeros((2, 0, 4))}, "show nothing"),
        ({"target": [0, 1], "thumbnails": np.full((2, 4, 4), 256)}, "0 to 255"),
    ],
)
def test_images__what_would_be_wrapped_or_mixed_up_is_refused(given: dict, message: str) -> None:
    with dt.Recorder(Path("run"), nn.Linear(2, 3), strict=True) as recorder:
        with pytest.raises(InputError, match=message):
            recorder.images(**given)
        recorder.images(target=[0, 1], ids=[None, 2])
        with pytest.raises(InputError, match="confidence"):
            recorder.validation(0, correct=[1, 0], confidence=[0.5, 1.5])


def test_evaluate__a_logit_that_is_nan_makes_a_wrong_answer_of_no_class() -> None:
    logits = torch.tensor([[1.0, 0.0], [NAN, 0.0], [NAN, NAN], [0.0, INF]])
    found = evaluate(nn.Identity(), [(logits, torch.tensor([0, 0, 0, 1]))])
    assert found["predicted"].tolist() == [0, -1, -1, 1]
    assert found["correct"].tolist() == [1, 0, 0, 1]


def test_levels__mean_and_rms_are_of_the_finite_weights_whatever_is_not() -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(size=50), random.normal(3, 1, size=20), np.zeros(10)]
    parts[0][:17], parts[2][:4] = NAN, INF
    kept = [part[np.isfinite(part)] for part in parts]
    gradients = [random.normal(size=len(part)) for part in parts]
    values: dict[str, np.ndarray] = {}
    for letter, known in (("w", kept), ("g", gradients)):
        sizes = [len(part) for part in (parts if letter == "w" else gradients)]
        values |= {
            f"{letter}_min": [k.min() for k in known], f"{letter}_max": [k.max() for k in known],
            f"{letter}_mean": [k.mean() for k in known], f"{letter}_std": [k.std() for k in known],
            f"{letter}_norm1": [np.abs(k).sum() for k in known],
            f"{letter}_norm2": [np.sqrt((k**2).sum()) for k in known],
            f"{letter}_rms": [np.sqrt((k**2).mean()) for k in known],
            f"{letter}_zero_fraction": [(k == 0).sum() / n for k, n in zip(known, sizes, strict=True)],
        }  # fmt: skip
    for name in ("norm1", "norm2", "ratio1", "ratio2", "cosine", "angle"):
        values[f"update_{name}"] = [NAN] * 3
    values |= {"rotation_from_init": [0.1] * 3, "nonfinite": [17, 0, 4]}
    stored = {name: np.array([one], np.float32).astype(np.float64) for name, one in values.items()}
    sizes = np.array([50.0, 20.0, 10.0])
    found = merge_layers(Layers(stored, sizes, np.ones(3)), np.zeros(3, int), 1)
    whole = np.concatenate(kept)
    np.testing.assert_allclose(found["w_mean"], [[whole.mean()]], rtol=1e-5)
    np.testing.assert_allclose(found["w_std"], [[whole.std()]], rtol=1e-5)
    np.testing.assert_allclose(found["w_rms"], [[np.sqrt((whole**2).mean())]], rtol=1e-5)
    np.testing.assert_allclose(found["w_zero_fraction"], [[6 / 80]], rtol=1e-6)
    np.testing.assert_allclose(found["g_mean"], [[np.concatenate(gradients).mean()]], rtol=1e-5)
    assert np.isnan(found["rotation_from_init"]).all()


def test_rates__zero_infinite_and_missing_rates_are_no_events() -> None:
    for value in (0.0, INF, NAN, -1.0):
        assert rate_events(np.full(20, value)) == []
        assert segments(np.full((20, 1), value), np.ones(20, int)).tolist() == [0] * 20
    jump = np.r_[np.full(10, 5e-324), np.full(10, 1.0)]
    assert np.isfinite([event.factor for event in rate_events(jump)]).all()


def test_few__a_step_after_which_nothing_is_updated_lasts() -> None:
    sizes = 1e-3 * np.exp(np.random.default_rng(0).normal(0, 0.1, (30, 5)))
    sizes[16] /= 8
    sizes[17:] = 0
    assert next(step for step in few_steps(sizes) if step.record == 16).lasts


@pytest.mark.parametrize("value", [2**31 + 1.0, float(LAST), 2**40 + 0.25, 12.5, 1 / 3, 1e15 + 1])
def test_address__an_iteration_comes_back_with_all_its_digits(value: float) -> None:
    state, back = State(), State()
    state.param.update(start=value, stop=value + 64)
    back.take(state.query())
    assert abs(back.start - value) < 1e-3
    assert back.start == value or value != int(value)


def test_catalogue__a_clock_in_no_year_ends_no_list(tmp_path: Path) -> None:
    with dt.Recorder(tmp_path / "run", nn.Linear(2, 3), every=1, strict=True) as recorder:
        recorder.step(0)
        recorder._sink.describe({"started": 4e15})
    assert summary(dt.open_run(tmp_path / "run"))["started"] == ""


def test_ingest__strange_tags_get_names_of_their_own_that_can_be_stored() -> None:
    scalars, sink = Scalars(), MemorySink()
    tags = ["zarr.json", "param_group", "a/b", "a b", "x" * 300, "tab\tle\x00", "iteration", "☃"]
    for number, tag in enumerate(tags):
        scalars.add(2**40, tag, float(number))
    scalars.write(sink, Outcome(Path("run")))
    table = sink.dataset("scalars")
    kept = sorted(float(v.values[0]) for n, v in table.data_vars.items() if v.dims == ("iteration",) and n != "steps")
    assert [value for value in kept if 0 <= value < len(tags)] == [float(number) for number in range(len(tags))]
    assert table.iteration.values.tolist() == [2**40]


@pytest.mark.parametrize("row", ["7,0,40000,1", "7,0,0.5,1", "9007199254740993,0,1,1", "-3,0,1,1"])
def test_ingest__a_number_that_cannot_be_kept_leaves_its_table_out(tmp_path: Path, row: str) -> None:
    (tmp_path / "answers.csv").write_text(f"iteration,image,predicted,target\n1,0,1,1\n{row}\n")
    with pytest.raises(InputError, match=r"nothing of .* can be used: .*no whole number"):
        ingest_run(tmp_path / "answers.csv", tmp_path / "run")


def test_position__is_told_as_a_number_whoever_made_it() -> None:
    with pytest.raises(InputError, match=r"^step -1\.0 is no whole number"):
        conform.position(np.float64(-1))
