"""What is no layer of its own is left out, and the run says why."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import deeptracker as dt
from deeptracker.errors import InputError
from deeptracker.testing import MemorySink


def record(model: nn.Module) -> MemorySink:
    """One step without an optimizer."""
    with dt.Recorder(Path("run"), model, every=1, strict=True) as recorder:
        recorder.step(0)
    return recorder._sink


class LowRank(nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left @ right

    def right_inverse(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return weight[:, :1].clone(), weight[:1].clone()


@pytest.mark.usefixtures("sinks")
def test_weights_of_another_shape__are_left_out() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 5))
    parametrize.register_parametrization(model[0], "weight", LowRank())
    model[2].weight = nn.Parameter(model[2].weight.detach().flatten())  # as FSDP1 does
    left_out = record(model).dataset("architecture").attrs["left_out"]
    assert "another shape" in left_out["0"]
    assert "flattened" in left_out["2"]


@pytest.mark.usefixtures("sinks")
def test_shared_weights__are_recorded_once() -> None:
    model = nn.ModuleDict(
        {"wte": nn.Embedding(7, 4), "first": nn.Linear(4, 4), "second": nn.Linear(4, 4), "head": nn.Linear(4, 7)}
    )
    model["second"].weight = model["first"].weight
    model["again"] = model["first"]
    model["head"].weight = model["wte"].weight
    table = record(model).dataset("architecture")
    assert table.layer.values.tolist() == ["first", "head"]
    assert table.attrs["left_out"]["second"] == "shares its weights with first"
    assert table.attrs["left_out"]["again"] == "shares its weights with first"
    assert "wte" in table.attrs["notes"]["head"]


@pytest.mark.usefixtures("sinks")
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_what_has_no_filters__is_left_out_with_a_reason() -> None:
    model = nn.ModuleDict({
        "embedding": nn.Embedding(5, 3), "bag": nn.EmbeddingBag(5, 3), "lstm": nn.LSTM(3, 4), "gru": nn.GRUCell(3, 4),
        "lazy": nn.LazyConv2d(4, 3), "empty": nn.Linear(0, 3), "complex": nn.Linear(3, 3, dtype=torch.complex64),
        "meta": nn.Linear(3, 3, device="meta"), "norm": nn.BatchNorm2d(3), "lazy_norm": nn.LazyBatchNorm2d(),
        "list": nn.ParameterList([nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))]),
        "linear": nn.Linear(3, 3),
    })  # fmt: skip
    table = record(model).dataset("architecture")
    assert table.layer.values.tolist() == ["linear"]
    left_out = table.attrs["left_out"]
    assert set(left_out) == {"embedding", "bag", "lstm", "gru", "lazy", "empty", "complex", "meta", "list.0"}
    assert "entries of a table" in left_out["embedding"]
    assert "gates" in left_out["lstm"]
    assert left_out["lazy"] == left_out["empty"] == left_out["meta"] == "has no weights yet"
    assert left_out["complex"] == "its weights are complex64"
    assert "ParameterList" in left_out["list.0"]


@pytest.mark.usefixtures("sinks")
def test_quantised_layers__are_left_out_with_a_reason() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 3), nn.Conv1d(1, 1, 1)), {nn.Linear, nn.LSTM}
        )
    table = record(model).dataset("architecture")
    assert table.layer.values.tolist() == ["2"]
    assert set(table.attrs["left_out"]) == {"0", "1"}
    assert all("quantised" in reason for reason in table.attrs["left_out"].values())


@pytest.mark.usefixtures("sinks")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"include": "("}, "include='\\(' is no regular expression"),
        ({"exclude": "["}, "exclude='\\[' is no regular expression"),
        ({"include": "nothing"}, "no layer to record.*0: not asked for"),
        ({"raw": "nothing", "raw_every": 1}, "matches no recorded layer"),
        ({"raw": "0"}, "belong together"),
    ],
)
def test_wrong_choice_of_layers__is_one_line(options, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        dt.Recorder(Path("run"), nn.Sequential(nn.Linear(2, 2)), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("sinks")
def test_model_without_layers__is_told_why() -> None:
    with pytest.raises(InputError, match=r"no layer to record.*entries of a table"):
        dt.Recorder(Path("run"), nn.Sequential(nn.Embedding(3, 2)))
