"""Steps of real optimizers: the one with an empty memory is told from all others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deeptracker import Recorder, open_run
from deeptracker.detect.memory import _began_anew, memory_alarms

LOST, STEPS = 90, 110


def trained(path: Path, optimizer_of: Callable[[Any], torch.optim.Optimizer], lost: int | None) -> Any:
    """A small net on noise, its optimizer's memory lost before step ``lost``."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 16), nn.ReLU(),
        nn.Linear(16, 4),
    )  # fmt: skip
    optimizer = optimizer_of(model.parameters())
    with Recorder(path, model, optimizer=optimizer, every=1) as recorder:
        for step in range(STEPS):
            if step == lost:
                optimizer.state.clear()
            if step == 60:
                for group in optimizer.param_groups:
                    group["lr"] *= 0.2
            x, y = torch.randn(16, 1, 8, 8), torch.randint(4, (16,))
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(step, loss=loss)
    return open_run(path)


OPTIMIZERS = {
    "momentum": (lambda p: torch.optim.SGD(p, 0.02, momentum=0.9), "gradient"),
    "nesterov": (lambda p: torch.optim.SGD(p, 0.02, momentum=0.9, nesterov=True), "gradient"),
    "decay": (lambda p: torch.optim.SGD(p, 0.02, momentum=0.9, weight_decay=5e-4), "gradient"),
    "adam": (lambda p: torch.optim.Adam(p, 2e-3), "sign"),
    "adamw": (lambda p: torch.optim.AdamW(p, 2e-3, weight_decay=0.02), "sign"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_memory__is_seen_to_be_lost_and_only_then(tmp_path: Path, name: str) -> None:
    optimizer, made_of = OPTIMIZERS[name]
    (alarm,) = memory_alarms(trained(tmp_path / "lost", optimizer, LOST))
    assert (alarm.onset, alarm.known_at, alarm.facts) == (LOST, LOST, {"made_of": made_of})
    assert memory_alarms(trained(tmp_path / "kept", optimizer, None)) == []


def test_memory__of_an_optimizer_that_has_none_is_not_missed(tmp_path: Path) -> None:
    assert memory_alarms(trained(tmp_path / "run", lambda p: torch.optim.SGD(p, 0.02), LOST)) == []


def test_memory__is_not_told_where_a_record_is_several_steps() -> None:
    typical, spread, gradient = np.r_[np.ones(60), 0.0], np.r_[np.full(60, 0.3), 0.0], np.zeros(61)
    for number, found in ((1, [60]), (5, []), (-1, [])):
        assert _began_anew(typical, spread, gradient, np.r_[np.ones(60, np.int64), number]) == found


def test_memory__is_not_missed_in_a_step_whose_gradient_outweighs_it() -> None:
    typical, spread, steps = np.r_[np.ones(60), 0.0], np.r_[np.full(60, 0.3), 0.0], np.ones(61, np.int64)
    for times, found in ((3.0, [60]), (0.01, [60]), (200.0, [])):
        assert _began_anew(typical, spread, np.r_[np.zeros(60), np.log(times)], steps) == found


def test_memory__is_found_again_in_a_drop_of_the_rate(tmp_path: Path) -> None:
    (alarm,) = memory_alarms(trained(tmp_path / "run", OPTIMIZERS["adam"][0], 60))
    assert alarm.onset == 60
