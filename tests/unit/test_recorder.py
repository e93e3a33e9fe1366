"""The recorder on nets small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import deeptracker as dt
from deeptracker.errors import InputError, LockedRunError
from deeptracker.testing.resnet import SmallResNet


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


def batches(number: int):
    generator = torch.Generator().manual_seed(1)
    for _ in range(number):
        yield torch.randn(8, 1, 8, 8, generator=generator), torch.randint(0, 3, (8,), generator=generator)


def train(model, steps, recorder=None, optimizer=None, first=0):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    losses = []
    for step, (x, y) in enumerate(batches(steps), first):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if recorder is not None:
            recorder.step(step, loss=loss)
        losses.append(loss.item())
    return losses


def test_filters__equal_numpy_on_a_known_net(tmp_path) -> None:
    model = small_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    seen = []
    with dt.Recorder(tmp_path / "run", model, optimizer=optimizer, every=1, strict=True) as recorder:
        for step, (x, y) in enumerate(batches(4)):
            before = model[0].weight.detach().clone().double().reshape(4, -1)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            gradient = model[0].weight.grad.clone().double().reshape(4, -1)
            optimizer.step()
            recorder.step(step)
            seen.append((before, gradient, model[0].weight.detach().clone().double().reshape(4, -1),
                         model[1].running_var.clone()))  # fmt: skip
    filters = dt.open_run(tmp_path / "run").filters
    for step, (before, gradient, after, variance) in enumerate(seen):
        row = filters.sel(iteration=step, layer="0")
        np.testing.assert_allclose(row.w_norm2, after.norm(dim=1), rtol=1e-6)
        np.testing.assert_allclose(row.g_norm2, gradient.norm(dim=1), rtol=1e-6)
        np.testing.assert_allclose(row.grad_ratio2, gradient.norm(dim=1) / after.norm(dim=1), rtol=1e-6)
        np.testing.assert_allclose(row.bn_running_var, variance, rtol=1e-6)
        if step:
            np.testing.assert_allclose(row.update_norm2, (after - before).norm(dim=1), rtol=1e-5)
        else:
            assert np.isnan(row.update_norm2).all()


def test_architecture__has_order_blocks_stages_norms_and_edges(tmp_path) -> None:
    model = SmallResNet(widths=(4, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with dt.Recorder(tmp_path / "run", model, optimizer=optimizer, every=1, strict=True) as recorder:
        model(torch.randn(2, 1, 16, 16)).sum().backward()
        optimizer.step()
        recorder.step(0)
    table = dt.open_run(tmp_path / "run").architecture.load()
    names = table.layer.values.tolist()
    assert names == ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2",
                     "layer2.0.downsample.0", "fc"]  # fmt: skip
    assert table.stage.values.tolist() == ["stem", *["layer1"] * 2, *["layer2"] * 3, "head"]
    assert table.block.sel(layer="layer2.0.downsample.0") == "layer2.0"
    assert table.normalisation.values.tolist()[:3] == ["bn1", "layer1.0.bn1", "layer1.0.bn2"]
    assert table.normalisation.sel(layer="layer2.0.downsample.0") == "layer2.0.downsample.1"
    edges = {(names[a], names[b]) for a, b in table.edges.values.tolist()}
    assert ("conv1", "layer1.0.conv1") in edges
    assert ("conv1", "layer2.0.conv1") in edges, "the shortcut of layer1 carries the stem on"
    assert ("layer2.0.conv2", "fc") in edges
    assert table.filters.values.tolist() == [4, 4, 4, 8, 8, 8, 10]


def test_training__is_the_same_bit_for_bit_with_and_without(tmp_path) -> None:
    """Losses, weights and random states, with everything switched on and a shuffling training loader beside."""
    results = []
    images = torch.utils.data.TensorDataset(torch.randn(12, 1, 8, 8), torch.arange(12) % 3)
    for recorded in (False, True):
        model = small_net()
        model.insert(3, nn.Dropout(0.3))
        torch.manual_seed(7)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        recorder = None
        if recorded:
            recorder = dt.Recorder(
                tmp_path / "run", model, optimizer=optimizer, every=1, full_every=2, probe=torch.randn(4, 1, 8, 8,
                generator=torch.Generator().manual_seed(3)), probe_every=2, strict=True,
            )  # fmt: skip
        losses = []
        for step, (x, y) in enumerate(batches(6)):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if recorder is not None:
                recorder.step(step, loss=loss)
                recorder.validate(step, torch.utils.data.DataLoader(images, batch_size=5))
        if recorder is not None:
            recorder.close()
        state = {k: v.clone() for k, v in model.state_dict().items()}
        results.append((losses, state, torch.get_rng_state(), model.training))
    (loss_a, state_a, rng_a, flag_a), (loss_b, state_b, rng_b, flag_b) = results
    assert loss_a == loss_b
    assert all(torch.equal(state_a[k], state_b[k]) for k in state_a)
    assert torch.equal(rng_a, rng_b)
    assert flag_a is flag_b is True
    run = dt.open_run(tmp_path / "run")
    assert {"filters/full", "layers/full", "filters/probe", "validation/validation/raw"} <= set(run.groups)


def test_probe__sees_the_activations_after_the_nonlinearity(tmp_path) -> None:
    model = small_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    probe = torch.randn(5, 1, 8, 8)
    with dt.Recorder(
        tmp_path / "r", model, optimizer=optimizer, every=1, probe=probe, probe_every=1, strict=True
    ) as recorder:
        train(model, 2, recorder, optimizer)
        model.eval()
        with torch.no_grad():
            after_relu = model[2](model[1](model[0](probe)))
        model.train()
    row = dt.open_run(tmp_path / "r").dataset("filters/probe").isel(iteration=-1).sel(layer="0")
    np.testing.assert_allclose(row.act_mean, after_relu.mean((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(row.act_zero_fraction, (after_relu == 0).float().mean((0, 2, 3)), rtol=1e-6)


def test_validation__keeps_images_by_id_and_sorts_them_by_class(tmp_path) -> None:
    model = small_net()
    target = np.array([2, 0, 1, 0])
    with dt.Recorder(tmp_path / "run", model, every=1, strict=True) as recorder:
        recorder.images(target=target, ids=["a", "b", "c", "d"], classes=["x", "y", "z"])
        recorder.validation(0, predicted=[2, 1, 1, 0], confidence=[0.5, 0.25, 1.0, 0.5])
        recorder.validation(5, predicted=[1, 2], ids=["c", "a"])
    with dt.Recorder(tmp_path / "run", model, every=1, strict=True) as recorder:
        recorder.validation(6, predicted=[1], ids=np.array(["d"], np.dtypes.StringDType()))
    run = dt.open_run(tmp_path / "run")
    assert run.images.image.values.tolist() == ["b", "d", "c", "a"]
    first, second = run.validation.isel(validation=0), run.validation.isel(validation=1)
    assert first.predicted.sel(image=["a", "b", "c", "d"]).values.tolist() == [2, 1, 1, 0]
    assert first.correct.sel(image=["a", "b", "c", "d"]).values.tolist() == [1, 0, 1, 1]
    np.testing.assert_allclose(first.loss.sel(image=["a", "b"]), [np.log(2), np.log(4)], rtol=1e-3)
    assert second.predicted.sel(image=["a", "b", "c", "d"]).values.tolist() == [2, -1, 1, -1]
    assert second.correct.sel(image="b") == -1
    resumed = run.validation.isel(validation=2)
    assert resumed.predicted.sel(image=["a", "b", "c", "d"]).values.tolist() == [-1, -1, -1, 1]
    assert resumed.correct.sel(image="d") == 0


def test_resume__continues_and_cuts_back_to_the_first_new_step(tmp_path) -> None:
    model = small_net()
    with dt.Recorder(tmp_path / "run", model, every=1, strict=True) as recorder:
        train(model, 6, recorder)
    initial = dt.open_run(tmp_path / "run").dataset("initial/0").weight.values
    with dt.Recorder(tmp_path / "run", model, every=1, strict=True) as recorder:
        train(model, 3, recorder, first=4)
    run = dt.open_run(tmp_path / "run")
    assert run.filters.iteration.values.tolist() == list(range(7))
    assert np.isnan(run.filters.update_norm2.sel(iteration=4)).all(), "no Δw at the first record after a resume"
    np.testing.assert_array_equal(run.dataset("initial/0").weight.values, initial)
    assert (run.filters.rotation_from_init.sel(iteration=6) > 0).all()


def test_restart__from_the_beginning_goes_to_a_new_path(tmp_path, capsys) -> None:
    for scale in (1.0, 2.0):
        model = small_net()
        with torch.no_grad():
            model[0].weight.mul_(scale)
        with dt.Recorder(tmp_path / "run", model, every=1, strict=True) as recorder:
            train(model, 3, recorder)
    assert recorder.path == tmp_path / "run-2"
    first, second = (dt.open_run(tmp_path / name) for name in ("run", "run-2"))
    assert second.filters.sizes["iteration"] == 3
    ratio = second.dataset("initial/0").weight.values / first.dataset("initial/0").weight.values
    np.testing.assert_allclose(ratio, 2, rtol=1e-6)
    assert "run-2" in capsys.readouterr().err


def test_second_recorder__is_refused(tmp_path) -> None:
    model = small_net()
    with dt.Recorder(tmp_path / "run", model), pytest.raises(LockedRunError):
        dt.Recorder(tmp_path / "run", model)


def test_fault__is_said_once_and_the_training_goes_on(tmp_path, capsys) -> None:
    model = small_net()
    with dt.Recorder(tmp_path / "run", model, every=1) as recorder:
        recorder.step(3, loss=1.0)
        recorder.step(2, loss=1.0)
        recorder.step(1, loss=1.0)
        recorder.validation(3, predicted=[[1]])
    said = capsys.readouterr().err
    assert recorder.faults == 3
    assert said.count("recording failed") == 1


def test_strict__raises(tmp_path) -> None:
    with dt.Recorder(tmp_path / "run", small_net(), every=1, strict=True) as recorder:
        recorder.step(3)
        with pytest.raises(InputError, match="steps must increase"):
            recorder.step(2)


def test_shuffling_loader__is_refused(tmp_path) -> None:
    data = torch.utils.data.TensorDataset(torch.randn(4, 1, 8, 8), torch.zeros(4, dtype=torch.long))
    with (
        dt.Recorder(tmp_path / "run", small_net(), strict=True) as recorder,
        pytest.raises(InputError, match="shuffle"),
    ):
        recorder.validate(0, torch.utils.data.DataLoader(data, shuffle=True))


def test_schedule__records_every_nth_and_steps_say_how_far_apart(tmp_path) -> None:
    model = small_net()
    with dt.Recorder(tmp_path / "run", model, every=3, start=2, stop=9, strict=True) as recorder:
        recorder.log(4, epoch=1.5, accuracy=0.25)
        train(model, 12, recorder)
    run = dt.open_run(tmp_path / "run")
    assert run.filters.iteration.values.tolist() == [2, 5, 8]
    assert run.filters.steps.values.tolist() == [-1, 3, 3]
    assert run.scalars.sizes["iteration"] == 12
    assert run.scalars.accuracy.sel(iteration=4) == 0.25
    assert np.isnan(run.scalars.accuracy.sel(iteration=3))


def test_skipped_step__is_marked(tmp_path) -> None:
    model = small_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with dt.Recorder(tmp_path / "run", model, optimizer=optimizer, every=1, strict=True) as recorder:
        for step, (x, y) in enumerate(batches(3)):
            nn.functional.cross_entropy(model(x), y).backward()
            if step != 1:
                optimizer.step()
            recorder.step(step)
    assert dt.open_run(tmp_path / "run").scalars.step_skipped.values.tolist() == [0, 1, 0]


def test_transposed_and_grouped_convolutions__have_their_output_channels_as_filters(tmp_path) -> None:
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Conv2d(6, 6, 3, groups=6), nn.Conv1d(1, 2, 3))
    with dt.Recorder(tmp_path / "run", model, every=1, strict=True) as recorder:
        recorder.step(0)
    run = dt.open_run(tmp_path / "run")
    w = model[0].weight.detach().numpy()  # (in, out / groups, y, x)
    expected = np.concatenate([np.linalg.norm(w[:2].transpose(1, 0, 2, 3).reshape(3, -1), axis=1),
                               np.linalg.norm(w[2:].transpose(1, 0, 2, 3).reshape(3, -1), axis=1)])  # fmt: skip
    np.testing.assert_allclose(run.filters.w_norm2.sel(layer="0", iteration=0), expected, rtol=1e-6)
    assert run.architecture.filters.values.tolist() == [6, 6, 2]


def test_model_without_layers__is_refused_in_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match="no layer to record"):
        dt.Recorder(tmp_path / "run", nn.ReLU())


def test_include_and_exclude__choose_layers(tmp_path) -> None:
    model = SmallResNet(widths=(4, 8))
    with dt.Recorder(tmp_path / "run", model, every=1, include=r"layer\d", exclude="downsample", strict=True) as r:
        r.step(0)
    assert dt.open_run(tmp_path / "run").architecture.layer.values.tolist() == [
        "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2"]  # fmt: skip
