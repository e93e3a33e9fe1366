"""A simulated log takes as much room as a real one: what is measured on it holds for what people record."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numcodecs import Blosc
from sklearn.datasets import load_digits
from torch.nn import functional

from deeptracker import Recorder, Run, open_run
from deeptracker.store.layout import INNER, Grid, encoding
from deeptracker.testing import simulate
from deeptracker.testing.resnet import SmallResNet

STEPS, IMAGES, EVERY = 96, 400, 4


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """ResNet-20 on handwritten digits; one thread, since several that wait for each other crawl on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
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
    torch.set_num_threads(threads)
    return open_run(path)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("simulated") / "run"
    simulate(path, model="resnet20", iterations=STEPS, images=IMAGES, passes=STEPS // EVERY)
    return open_run(path)


def packed(values: np.ndarray) -> int:
    """Bytes of an array in the chunks and the compression of a run; half-filled shards would blur those on disk."""
    codec = encoding(values.dtype, 0, Grid(INNER, None))["compressors"][0]
    blosc = Blosc(cname=codec.cname.value, clevel=codec.clevel, shuffle=getattr(Blosc, codec.shuffle.value.upper()))
    rows, columns = (range(0, size, chunk) for size, chunk in zip(values.shape, INNER, strict=True))
    pieces = (values[r : r + INNER[0], c : c + INNER[1]] for r in rows for c in columns)
    return sum(len(blosc.encode(np.ascontiguousarray(piece))) for piece in pieces)


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("filters/dense", None),
        ("layers/dense", None),
        ("validation/validation/raw", ("correct",)),
        ("validation/validation/raw", ("loss",)),
    ],
)
def test_simulated_data__compress_within_a_fifth_of_real_ones(
    real: Run, simulated: Run, group: str, names: tuple[str, ...] | None
) -> None:
    tables = [run.dataset(group) for run in (real, simulated)]
    names = names or tuple(str(name) for name, values in tables[0].data_vars.items() if values.ndim == 2)
    bytes_of = [{name: (packed(table[name].values), table[name].nbytes) for name in names} for table in tables]
    one, other = (sum(n for n, _ in each.values()) / sum(n for _, n in each.values()) for each in bytes_of)
    assert 0.8 < other / one < 1.2, {
        name: [small / whole for small, whole in (e[name] for e in bytes_of)] for name in names
    }
