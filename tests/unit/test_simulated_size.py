"""A simulated log takes as much room as a real one: what is measured on it holds for what people record."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numcodecs import Blosc
from sklearn.datasets import load_digits
from torch.nn import functional

from deeptracker import Recorder, Run, open_run
from deeptracker.store.layout import INNER
from deeptracker.testing import simulate
from deeptracker.testing.resnet import SmallResNet

STEPS, IMAGES, EVERY = 96, 400, 4


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """ResNet-20 on handwritten digits."""
    path = tmp_path_factory.mktemp("real") / "run"
    pixels, target = load_digits(return_X_y=True)
    x = torch.tensor(pixels.reshape(-1, 1, 8, 8) / 8 - 1, dtype=torch.float32)
    y = torch.tensor(target)
    torch.manual_seed(0)
    model = SmallResNet(widths=(16, 32, 64), blocks=3, stem_stride=1)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    with Recorder(path, model, optimizer=optimizer, every=1) as recorder:
        recorder.images(target=target[:IMAGES])
        for step in range(STEPS):
            chosen = torch.randint(IMAGES, len(x), (16,))
            loss = functional.cross_entropy(model(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(step, loss=loss)
            if step % EVERY == EVERY - 1:
                model.eval()
                with torch.no_grad():
                    answers = model(x[:IMAGES])
                model.train()
                each = functional.cross_entropy(answers, y[:IMAGES], reduction="none")
                recorder.validation(step, predicted=answers.argmax(1).numpy(), loss=each.numpy())
    return open_run(path)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("simulated") / "run"
    simulate(path, model="resnet20", iterations=STEPS, images=IMAGES, passes=STEPS // EVERY)
    return open_run(path)


def packed(values: np.ndarray) -> int:
    """Bytes of an array in the chunks and the compression of a run; half-filled shards would blur those on disk."""
    codec = Blosc(cname="zstd", clevel=1, shuffle=Blosc.SHUFFLE if values.itemsize > 1 else Blosc.NOSHUFFLE)
    rows, columns = (range(0, size, chunk) for size, chunk in zip(values.shape, INNER, strict=True))
    pieces = (values[r : r + INNER[0], c : c + INNER[1]] for r in rows for c in columns)
    return sum(len(codec.encode(np.ascontiguousarray(piece))) for piece in pieces)


def shares(run: Run, group: str, names: list[str]) -> dict[str, float]:
    table = run.dataset(group)
    return {name: packed(table[name].values) / table[name].nbytes for name in names}


@pytest.mark.parametrize("group", ["filters/dense", "layers/dense", "validation/validation/raw"])
def test_simulated_data__compress_within_a_fifth_of_real_ones(real: Run, simulated: Run, group: str) -> None:
    names = [
        str(n) for n, v in real.dataset(group).data_vars.items() if v.ndim == 2 and n in simulated.dataset(group)
    ]
    assert len(names) > 2
    one, other = shares(real, group, names), shares(simulated, group, names)
    weight = {name: real.dataset(group)[name].dtype.itemsize for name in names}
    ratio = sum(weight[n] * other[n] for n in names) / sum(weight[n] * one[n] for n in names)
    assert 0.8 < ratio < 1.2, {name: (one[name], other[name]) for name in names}
