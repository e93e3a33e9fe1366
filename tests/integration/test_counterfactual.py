"""The counterfactual: what was broken is restored, and nothing else of the layer does as much."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deeptracker import Recorder, Run, counterfactual, open_run
from deeptracker.errors import InputError

BROKEN = [1, 4]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 6, 3, groups=2)
        self.out = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.up(torch.relu(self.norm(self.conv(x)))))
        return self.out(x.mean((2, 3)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Net, list[Any]]:
    """A net that tells three patterns apart, its run, and what it is evaluated on."""
    torch.manual_seed(0)
    target = torch.arange(3).repeat(40)
    patterns = torch.randn(3, 1, 6, 6)
    images = patterns[target] + 0.3 * torch.randn(120, 1, 6, 6)
    model, path = Net(), tmp_path_factory.mktemp("counterfactual") / "run"
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    with Recorder(path, model, optimizer=optimizer, every=10) as recorder:
        recorder.images(target=target.numpy(), classes=["cat", "dog", "elk"])
        for step in range(60):
            loss = nn.functional.cross_entropy(model(images), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(step, loss=loss)
        recorder.validate(59, [(images, target)])
    return open_run(path), model, [(images[:70], target[:70]), (images[70:], target[70:])]


def broken(model: Net) -> Net:
    """Where two filters, seen through their normalisation, drown the others."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.norm.bias[BROKEN] += 40.0
        other.conv.weight[BROKEN] *= -1
    return other


def event(layer: str = "conv", channels: list[int] = BROKEN, classes: tuple[str, ...] = ("cat", "elk")) -> Any:
    filters = [{"layer": layer, "channel": channel, "score": 20.0} for channel in channels]
    return {"iteration": 50, "filters": filters, "classes": list(classes)}


def test_counterfactual__of_what_was_broken_gives_the_answers_back_and_other_filters_do_not(trained: Any) -> None:
    run, model, loader = trained
    hurt = broken(model)
    before = copy.deepcopy(hurt.state_dict())
    found = counterfactual(run, event(), hurt, model.state_dict(), loader, draws=60)
    assert found["class"].values.tolist() == ["cat", "elk", "all"]
    assert found["images"].values.tolist() == [40, 40, 120]
    sound = (model.eval()(torch.cat([x for x, _ in loader])).argmax(1) == torch.cat([y for _, y in loader])).numpy()
    restored = found["accuracy"].sel(state="restored").values
    np.testing.assert_allclose(restored[2], sound.mean())
    assert restored[2] > 0.95 > 0.8 > float(found["accuracy"].sel(state="as-is", **{"class": "all"}))
    # One pair of 28 is the right one; drawn in 60, it counts as having done as well.
    assert float(found["p"].sel({"class": "all"})) < 0.15
    assert all(torch.equal(before[name], tensor) for name, tensor in hurt.state_dict().items())
    assert hurt.training


def test_counterfactual__of_sound_filters_does_no_better_than_any(trained: Any) -> None:
    run, model, loader = trained
    found = counterfactual(run, event(channels=[0, 2]), broken(model), model.state_dict(), loader, draws=30)
    assert float(found["p"].sel({"class": "all"})) > 0.15


def test_counterfactual__finds_a_filter_on_the_second_axis_of_a_grouped_transposed_convolution(trained: Any) -> None:
    run, model, loader = trained
    hurt = copy.deepcopy(model)
    with torch.no_grad():
        hurt.up.weight[4:, 1] = 9.0  # of the second group the second: filter 4
        hurt.up.bias[4] = 90.0
    found = counterfactual(run, event("up", [4], ()), hurt, model.state_dict(), loader, draws=20)
    assert found["class"].values.tolist() == ["all"]
    assert float(found["accuracy"].sel(state="restored", **{"class": "all"})) > 0.95
    assert float(found["accuracy"].sel(state="as-is", **{"class": "all"})) < 0.7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"event": event(channels=[])}, "names no filter"),
        ({"event": event("layer9")}, "no layer 'layer9'"),
        ({"event": event(channels=[8])}, "has 8 filters"),
        ({"earlier": {}}, "the earlier checkpoint has no"),
        ({"draws": 0}, "at least one set"),
    ],
)
def test_counterfactual__of_something_else_says_so(trained: Any, given: dict[str, Any], said: str) -> None:
    run, model, loader = trained
    usual = {"event": event(), "model": model, "earlier": model.state_dict(), "loader": loader}
    with pytest.raises(InputError, match=said):
        counterfactual(run, **(usual | given))


def test_counterfactual__of_another_shape_says_so(trained: Any) -> None:
    run, model, loader = trained
    earlier = model.state_dict() | {"out.bias": torch.zeros(4)}
    with pytest.raises(InputError, match=r"'out.bias' of the earlier checkpoint is \(4,\) instead of \(3,\)"):
        counterfactual(run, event(), model, earlier, loader)
