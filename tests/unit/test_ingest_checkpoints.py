"""Claims of ingesting a series of checkpoints: statistics against plain NumPy, numbering, refusals."""

import json
import pickle
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.cli import main
from deeptracker.errors import InputError
from deeptracker.ingest.arrays import load
from deeptracker.recording import ingest_run
from deeptracker.store import disk, open_run

torch = pytest.importorskip("torch")


def weights(step, seed=0):
    """Two layers that drift: a convolution of 6 filters and a linear layer of 4."""
    rng = np.random.default_rng(seed)
    start, way = ({k: rng.normal(size=s) for k, s in (("conv", (6, 3, 3, 3)), ("fc", (4, 6)))} for _ in range(2))
    return {f"{k}.weight": (start[k] + 0.01 * step * way[k]).astype(np.float32) for k in start}


def safetensors(path, arrays, kinds="F32"):
    header, blobs, at = {}, [], 0
    for name, array in arrays.items():
        data = array.astype("<f4").tobytes()
        if kinds == "BF16":  # the upper halves
            data = (np.frombuffer(data, "<u4") >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": kinds, "shape": list(array.shape), "data_offsets": [at, at + len(data)]}
        blobs.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def series(folder, names, **more):
    folder.mkdir(exist_ok=True)
    for step, name in enumerate(names):
        np.savez(folder / name, **weights(step), **more)
    return folder


def ingested(source, path, **options):
    done = ingest_run(source, path, **options)
    return done, open_run(path)


def test_statistics__are_those_of_the_weights_in_the_files(tmp_path):
    _, run = ingested(series(tmp_path / "s", [f"epoch_{i}.npz" for i in range(4)]), tmp_path / "run")
    filters, layers = run.dataset("filters/dense").load(), run.dataset("layers/dense").load()
    for row in range(4):
        now = weights(row)["conv.weight"].reshape(6, -1).astype(np.float64)
        np.testing.assert_allclose(filters["w_rms"][row, :6], np.sqrt((now**2).mean(1)), rtol=1e-5)
        if row:
            before = weights(row - 1)["conv.weight"].reshape(6, -1).astype(np.float64)
            ratio = np.linalg.norm(now - before, axis=1) / np.linalg.norm(before, axis=1)
            np.testing.assert_allclose(filters["update_ratio2"][row, :6], ratio, rtol=1e-4)
            whole = np.linalg.norm(now - before) / np.linalg.norm(before)
            np.testing.assert_allclose(layers["update_ratio2"][row, 0], whole, rtol=1e-4)
    assert np.isnan(filters["update_ratio2"][0]).all()
    assert np.isnan(filters["g_rms"]).all()
    exact = np.quantile(weights(2)["fc.weight"], 0.5, axis=1)
    np.testing.assert_allclose(run.dataset("filters/full")["w_median"].values[2, 6:], exact, rtol=1e-5)
    assert run.dataset("architecture")["layer"].values.tolist() == ["conv", "fc"]


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_torch_series__iteration_epoch_loss_rate_and_momentum_come_out_of_the_files(tmp_path, kind):
    model = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Linear(3, 2))
    make = {
        "sgd": lambda: torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
        "adam": lambda: torch.optim.Adam(model.parameters(), 0.1, betas=(0.8, 0.99)),
    }
    optimizer, average = make[kind](), []
    (tmp_path / "s").mkdir()
    for step in range(0, 40, 10):
        loss = model(torch.ones(4, 5)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state = optimizer.state[model[0].weight]
        number = step // 10 + 1
        buffer = state["momentum_buffer"] * 0.1 if kind == "sgd" else state["exp_avg"] / (1 - 0.8**number)
        average.append(buffer.numpy().copy())
        torch.save(
            {
                "model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": step // 20,
                "global_step": step, "loss": loss.item(),
            },
            tmp_path / "s" / f"checkpoint{number}.pt",
        )  # fmt: skip
    done, run = ingested(tmp_path / "s", tmp_path / "run")
    scalars = run.dataset("scalars").load()
    assert scalars["iteration"].values.tolist() == [0, 10, 20, 30]
    assert scalars["epoch"].values.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(scalars["learning_rate"][:, 0], 0.1)
    assert np.isfinite(scalars["loss"]).all()
    filters = run.dataset("filters/dense").load()
    for row, gradient in enumerate(average):
        np.testing.assert_allclose(filters["g_norm2"][row, :3], np.linalg.norm(gradient, axis=1), rtol=1e-4)
    assert run.dataset("architecture")["lr_group"].values.tolist() == [0, 0]
    assert any("momentum" in note for note in done.notes)


def test_gradients__beside_the_weights_are_taken_as_they_are(tmp_path):
    gradient = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    source = series(tmp_path / "s", ["step_5.npz", "step_9.npz"], **{"grad/fc.weight": gradient})
    _, run = ingested(source, tmp_path / "run")
    filters = run.dataset("filters/dense").load()
    np.testing.assert_allclose(filters["g_norm2"][1, 6:], np.linalg.norm(gradient, axis=1), rtol=1e-5)
    assert np.isnan(filters["g_norm2"][:, :6]).all()


@pytest.mark.parametrize(
    ("names", "options", "want"),
    [
        (["epoch_2.npz", "epoch_10.npz"], {}, [2, 10]),
        (["epoch_2.npz", "epoch_10.npz"], {"steps_per_epoch": 100}, [200, 1000]),
        (["epoch=1-step=400.npz", "epoch=2-step=800.npz"], {"steps_per_epoch": 100}, [400, 800]),
        (["net-7.npz", "net-20.npz"], {}, [7, 20]),
        (["a.npz", "b.npz", "c.npz"], {}, [0, 1, 2]),
    ],
)
def test_iterations__are_told_by_names_in_natural_order(tmp_path, names, options, want):
    _, run = ingested(series(tmp_path / "s", names), tmp_path / "run", **options)
    assert run.dataset("filters/dense")["iteration"].values.tolist() == want


def test_epochs__stay_epochs_where_steps_are_counted(tmp_path):
    _, run = ingested(series(tmp_path / "s", ["epoch_2.npz", "epoch_3.npz"]), tmp_path / "run", steps_per_epoch=50)
    assert run.dataset("scalars")["epoch"].values.tolist() == [2, 3]


def test_copies_and_broken_files__are_left_out_and_said_so(tmp_path):
    source = series(tmp_path / "s", ["epoch_1.npz", "epoch_2.npz", "epoch_3.npz", "best.npz"])
    content = (source / "epoch_2.npz").read_bytes()
    (source / "epoch_2.npz").write_bytes(content[: len(content) // 2])
    np.savez(source / "epoch_4.npz", **{"conv.weight": np.zeros((6, 3, 3, 3), np.float32)})
    np.savez(source / "epoch_5.npz", **{**weights(5), "fc.weight": np.zeros((5, 6), np.float32)})
    done, run = ingested(source, tmp_path / "run")
    assert run.dataset("filters/dense")["iteration"].values.tolist() == [1, 3]
    reasons = dict(done.left_out)
    assert "write it again" in reasons["epoch_2.npz"]
    assert "lacks fc.weight" in reasons["epoch_4.npz"]
    assert "5×6, but 4×6" in reasons["epoch_5.npz"]
    assert "best.npz" in reasons


def test_complex_numbers__are_neither_weights_nor_gradients(tmp_path):
    source = series(tmp_path / "s", ["epoch_1.npz", "epoch_2.npz"])
    np.savez(source / "epoch_2.npz", **weights(2), **{"grad/fc.weight": np.full((4, 6), 1 + 2j)})
    np.savez(source / "epoch_3.npz", **{**weights(3), "fc.weight": np.full((4, 6), 1 + 2j)})
    done, run = ingested(source, tmp_path / "run")
    assert run.dataset("filters/dense")["iteration"].values.tolist() == [1, 2]
    reasons = dict(done.left_out)
    assert reasons["gradient of fc.weight"] == "is not of floating-point numbers"
    assert "fc.weight is not of floating-point numbers, unlike in the first" in reasons["epoch_3.npz"]


@pytest.mark.parametrize("kind", ["F32", "BF16"])
def test_safetensors__weights_are_read_in_both_precisions(tmp_path, kind):
    (tmp_path / "s").mkdir()
    for step in (1, 2):
        safetensors(tmp_path / "s" / f"step_{step}.safetensors", weights(step), kind)
    _, run = ingested(tmp_path / "s", tmp_path / "run")
    want = np.linalg.norm(weights(2)["fc.weight"], axis=1)
    tolerance = 1e-5 if kind == "F32" else 1e-2
    np.testing.assert_allclose(run.dataset("filters/dense")["w_norm2"].values[1, 6:], want, rtol=tolerance)


@settings(max_examples=80, deadline=None)
@given(cut=st.integers(0, 400), at=st.integers(0, 200), value=st.integers(0, 255))
def test_safetensors__damaged_anywhere_are_an_input_error_at_worst(cut, at, value, tmp_path_factory):
    path = tmp_path_factory.mktemp("st") / "a.safetensors"
    safetensors(path, {"fc.weight": np.ones((4, 3))})
    content = bytearray(path.read_bytes()[: cut or None])
    content[at % len(content)] = value
    path.write_bytes(content)
    with suppress(InputError):
        load(path)


def test_series__without_a_single_iteration_leaves_no_run_behind(tmp_path):
    source = series(tmp_path / "s", ["net.npz"], epoch=0.5)
    with pytest.raises(InputError, match=r"no checkpoint of .* its iteration 0\.5 is no whole number"):
        ingest_run(source, tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles__that_run_code_are_refused_unread_and_the_remedy_is_named(tmp_path):
    source, harm = tmp_path / "s", tmp_path / "harm"
    source.mkdir()
    torch.save({"model": Bomb(harm)}, source / "a_1.pt")
    (source / "a_2.pt").write_bytes(pickle.dumps(Bomb(harm)))
    np.savez(source / "a_3.npz", **{"fc.weight": np.array([Bomb(harm)], dtype=object)})
    with pytest.raises(InputError, match=r"not read; save the state dict alone .* or convert it to safetensors"):
        ingest_run(source, tmp_path / "run")
    assert not harm.exists()
    assert not (tmp_path / "run").exists()


@pytest.fixture
def careless(tmp_path):
    """Folders of people in a hurry."""
    for name in ("empty", "pictures", "cut", "pickled", "module", "garbage", "good"):
        (tmp_path / name).mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"\xff\xd8")
    np.savez(tmp_path / "cut" / "epoch_1.npz", **weights(0))
    content = (tmp_path / "cut" / "epoch_1.npz").read_bytes()
    (tmp_path / "cut" / "epoch_1.npz").write_bytes(content[: len(content) // 2])
    np.savez(tmp_path / "pickled" / "epoch_1.npz", **{"fc.weight": np.array([{}], dtype=object)})
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module" / "net.pt")
    (tmp_path / "garbage" / "net.pt").write_bytes(b"not a checkpoint")
    np.savez(tmp_path / "good" / "epoch_1.npz", **weights(0))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "target", "remedy"),
    [
        ("nowhere", "run", "name a folder or a file"),
        ("empty", "run", "nothing to ingest (checkpoints .pt .safetensors .npz"),
        ("pictures", "run", ".jpg: not a kind of file that is read"),
        ("cut", "run", "write it again"),
        ("pickled", "run", "save arrays of numbers only"),
        ("module", "run", "save the state dict alone"),
        ("garbage", "run", "write it again"),
        ("good", "taken", "ingest to another path"),
    ],
)
def test_careless_users__get_one_line_with_the_remedy(careless, monkeypatch, capsys, source, target, remedy):
    monkeypatch.setattr("sys.argv", ["deeptracker", "ingest", str(careless / source), str(careless / target)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("deeptracker: ")]
    assert ended.value.code == 1
    assert len(said) == 1
    assert remedy in said[0]
    assert not (careless / "run").exists()


def test_ingestion__that_is_killed_at_any_commit_is_begun_anew_or_was_whole(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    for step in range(0, 40, 10):
        np.savez(source / f"step-{step}.npz", **weights(step))
    states, save = [], disk.save_commit

    def kept(marker, commit):
        raw = save(marker, commit)
        states.append(shutil.copytree(tmp_path / "run", tmp_path / f"killed-{len(states)}"))
        return raw

    with monkeypatch.context() as patch:
        patch.setattr(disk, "save_commit", kept)
        ingest_run(source, tmp_path / "run")
    assert len(states) > 5
    for state in states:
        with suppress(InputError):  # it was whole
            ingest_run(source, state)
        assert open_run(state).filters["iteration"].values.tolist() == [0, 10, 20, 30]


def test_ingestion__goes_on_after_a_fault_that_went_by(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    np.savez(source / "step-1.npz", **weights(1))
    add, faults = disk.Disk.add, [OSError(5, "Input/output error")]

    def sometimes(self, blocks):
        if faults:
            raise faults.pop()
        add(self, blocks)

    monkeypatch.setattr(disk.Disk, "add", sometimes)
    ingest_run(source, tmp_path / "run")
    assert open_run(tmp_path / "run").filters.sizes["iteration"] == 1
