"""CIFAR-10 from a folder: both of its formats give the same images, and a pickle can call nothing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from deeptracker.errors import InputError
from deeptracker.testing.faults import plant
from deeptracker.trials import images
from deeptracker.trials.course import Course
from deeptracker.trials.images import images_of
from deeptracker.trials.settings import SETTINGS

EACH = 130


@pytest.fixture(autouse=True)
def forget() -> None:
    images_of.cache_clear()


def pixels(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (EACH * 10, 3072), np.uint8), rng.permutation(np.repeat(np.arange(10), EACH))


def pickled(folder: Path) -> Path:
    """As ``cifar-10-batches-py`` is: strings of Python 2, labels as a list."""
    root = folder / "cifar-10-batches-py"
    root.mkdir(parents=True)
    for name, number in (("data_batch_1", 1), ("data_batch_2", 2), ("test_batch", 3)):
        x, y = pixels(number)
        batch = {b"batch_label": b"one of some", b"labels": y.tolist(), b"data": x, b"filenames": [b"a.png"]}
        (root / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def binary(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in (("data_batch_1.bin", 1), ("data_batch_2.bin", 2), ("test_batch.bin", 3)):
        x, y = pixels(number)
        np.concatenate([y.astype(np.uint8)[:, None], x], axis=1).tofile(folder / name)
    return folder


@pytest.mark.parametrize("write", [pickled, binary])
def test_images_of__a_folder_are_those_in_it(tmp_path: Path, write: object) -> None:
    training, validation = images_of(str(write(tmp_path / "here")))  # type: ignore[operator]
    x, y = pixels(1)
    assert training.x.shape == (2 * EACH * 10, 3, 32, 32)
    np.testing.assert_allclose(training.x[5, 2, 31].numpy(), x[5].reshape(3, 32, 32)[2, 31] / 255, rtol=1e-6)
    assert training.y[: len(y)].tolist() == y.tolist()
    assert torch.bincount(validation.y).tolist() == [100] * 10
    x, y = pixels(3)
    third = np.flatnonzero(y == int(validation.y[0]))  # the first image is the first of its class
    np.testing.assert_allclose(validation.x[0].flatten().numpy(), x[third[0]] / 255, rtol=1e-6)


def test_images_of__a_pickle_that_calls_something_is_refused(tmp_path: Path) -> None:
    class Calls:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "called"),)

    root = pickled(tmp_path / "here") / "cifar-10-batches-py"
    (root / "data_batch_2").write_bytes(pickle.dumps({b"data": Calls(), b"labels": [1]}))
    with pytest.raises(InputError, match=r"data_batch_2: no batch of CIFAR-10 \(it asks for posix.mkdir\)"):
        images_of(str(tmp_path / "here"))
    assert not (tmp_path / "called").exists()


def test_images_of__what_is_not_cifar_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no CIFAR-10"):
        images_of(str(tmp_path))
    folder = binary(tmp_path / "cut")
    (folder / "test_batch.bin").write_bytes(b"\x01" * 5000)
    with pytest.raises(InputError, match="5,000 bytes are no whole number"):
        images_of(str(folder))
    folder = pickled(tmp_path / "labels") / "cifar-10-batches-py"
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 10]}))
    with pytest.raises(InputError, match="no batch of CIFAR-10"):
        images_of(str(folder))


@pytest.mark.parametrize("name", list(SETTINGS))
def test_course__trains_on_images_in_colour(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "VALIDATION", 3)
    setting = SETTINGS[name]
    course = Course(setting, 1, images_of(str(binary(tmp_path / "cifar"))))
    course.run(tmp_path / "run", 3, order=1, rate=setting.rate, fault=plant("none", 1, (0, 1), setting.ground))
    assert (tmp_path / "run" / "commit.json").exists()
