"""``watch``: a plain loop with one line more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import deeptracker as dt
from deeptracker.errors import InputError


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3))


def loop(updates: int, accumulate: int = 1, watched=None, after=lambda loss: None):
    """Losses of the batches, and the gradient norms of the first layer as each update received them."""
    model, draw = net(), torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    watching = watched(model, optimizer) if watched else None
    losses, norms = [], []
    for batch in range(updates * accumulate):
        x, y = torch.randn(8, 4, generator=draw), torch.randint(0, 3, (8,), generator=draw)
        loss = nn.functional.cross_entropy(model(x), y) / accumulate
        loss.backward()
        losses.append(loss.item())
        if (batch + 1) % accumulate == 0:
            norms.append(model[0].weight.grad.norm(dim=1).numpy().copy())
            optimizer.step()
            optimizer.zero_grad()
            after(loss)
    if watching is not None:
        watching.close()
    return losses, norms


@pytest.mark.parametrize("accumulate", [1, 3])
def test_watch__records_every_update_without_another_line_in_the_loop(tmp_path, accumulate: int) -> None:
    def watched(model, optimizer):
        return dt.watch(model, log="gradients", log_freq=1, optimizer=optimizer, path=tmp_path / "run", strict=True)

    losses, norms = loop(4, accumulate, watched)
    assert losses == loop(4, accumulate)[0], "the same, bit for bit"
    filters = dt.open_run(tmp_path / "run").filters
    assert filters.iteration.values.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(filters.g_norm2.sel(layer="0"), norms, rtol=1e-5)
    assert np.isfinite(filters.update_norm2.isel(iteration=slice(1, None))).all(), (
        "all is recorded, whatever log= says"
    )


def test_watch__takes_scalars_and_the_loss_without_a_number(tmp_path) -> None:
    watching = []

    def watched(model, optimizer):
        watching.append(dt.watch(model, log_freq=1, optimizer=optimizer, path=tmp_path / "run", strict=True))
        return watching[0]

    losses, _ = loop(3, watched=watched, after=lambda loss: watching[0].log(loss=loss, twice=2 * loss.item()))
    scalars = dt.open_run(tmp_path / "run").scalars
    assert scalars.iteration.values.tolist() == [0, 1, 2]
    np.testing.assert_allclose(scalars.loss, losses)
    np.testing.assert_allclose(scalars.twice, 2 * np.array(losses))


def test_watch__leaves_the_numbers_to_a_loop_that_tells_them(tmp_path) -> None:
    watching, numbers = [], iter([10, 20, 30])

    def watched(model, optimizer):
        watching.append(dt.watch(model, log_freq=1, optimizer=optimizer, path=tmp_path / "run", strict=True))
        return watching[0]

    loop(3, watched=watched, after=lambda loss: watching[0].step(next(numbers), loss=loss))
    assert dt.open_run(tmp_path / "run").filters.iteration.values.tolist() == [10, 20, 30]


def test_watch__of_a_single_update_has_one_record(tmp_path) -> None:
    loop(1, watched=lambda model, optimizer: dt.watch(
        model, log_freq=1, optimizer=optimizer, path=tmp_path / "run", strict=True))  # fmt: skip
    assert dt.open_run(tmp_path / "run").filters.iteration.values.tolist() == [0]


def test_step__told_later_than_at_the_first_is_refused(tmp_path) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with dt.watch(model, optimizer=optimizer, path=tmp_path / "run", strict=True) as watching:
        for _ in range(2):
            model(torch.randn(3, 4)).sum().backward()
            optimizer.step()
        with pytest.raises(InputError, match="tell all of them or none"):
            watching.step(7)


def test_log__of_an_unknown_kind_is_refused_in_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match="log='weights' is unknown"):
        dt.watch(net(), None, log="weights", path=tmp_path / "run")


def test_watch__takes_its_hooks_off(tmp_path) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dt.watch(model, optimizer=optimizer, path=tmp_path / "run").close()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert not any(module._forward_hooks for module in model.modules())
