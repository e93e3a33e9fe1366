"""The examples of the guide train with the real libraries, as they stand there."""

from __future__ import annotations

import os
import re
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import lightning
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import deeptracker as dt

# What the libraries say about trainings as small as these, and about a machine without a GPU (2026-11).
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*'pin_memory' argument is set as true but no accelerator:UserWarning"),
]

GUIDE = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
SECTION = GUIDE.split("## In the loop you have\n")[1].split("\n## ")[0]
EXAMPLES = dict(
    zip(
        ("plain", "lightning", "huggingface", "accelerate"),
        re.findall(r"```python\n(.*?)```", SECTION, re.S),
        strict=True,
    )
)


class Classifier(nn.Module):
    """A network that each of the four can train."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x, labels=None):
        logits = self.layers(x)
        return logits if labels is None else {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Module(lightning.LightningModule):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.network(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def _fresh():
    """accelerate keeps its state for the whole process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("name", EXAMPLES)
def test_example__of_the_guide_records_a_run(tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = torch.randn(80, 6), torch.randint(0, 3, (80,))
    rows, model = [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)], Classifier()
    given = {
        "model": model, "module": Module(model), "criterion": nn.CrossEntropyLoss(), "examples": rows,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1), "valid_examples": rows[:20],
        "loader": DataLoader(TensorDataset(x, y), batch_size=4),
        "valid_loader": DataLoader(TensorDataset(x[:20], y[:20]), batch_size=4),
    }  # fmt: skip
    exec(compile(EXAMPLES[name], f"the example {name}", "exec"), given)
    run = dt.open_run(tmp_path / "runs" / name)
    updates = {"lightning": 40}.get(name, 20)  # two epochs of twenty batches
    assert run.scalars.sizes["iteration"] == updates
    assert run.filters.sizes["iteration"] == updates // 10
    assert run.scalars.loss.notnull().all()
    if name in ("lightning", "huggingface"):
        assert run.validation.sizes == {"validation": 2, "image": 20}
