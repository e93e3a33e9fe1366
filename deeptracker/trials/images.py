"""The images of the trials: digits that pip brings, or CIFAR-10 from a folder."""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deeptracker.demo.images import Images, load_images
from deeptracker.errors import InputError

TRAINING, VALIDATION = 16_000, 100
"""Images of CIFAR-10: to train on, and of each class to validate on."""

_PIXELS = 3 * 32 * 32
_HARMLESS = {
    ("_codecs", "encode"), ("numpy", "dtype"), ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
}  # fmt: skip


@lru_cache(maxsize=1)
def images_of(folder: str) -> tuple[Images, Images]:
    """Training and validation images.

    Parameters
    ----------
    folder : of CIFAR-10 as its authors give it out, ``cifar-10-batches-py`` or ``cifar-10-batches-bin`` (or the one
        above it); empty: the demo's digits. The first 16,000 training images, and 100 of each class of the test set.

    Raises
    ------
    InputError
        There is no such folder, or a file in it is none of CIFAR-10's.
    """
    if not folder:
        return load_images()
    root = _root(Path(folder))
    x, y = _read(root, "data_batch_*")
    training = Images(*_tensors(x[:TRAINING], y[:TRAINING]))
    x, y = _read(root, "test_batch*")
    chosen = np.sort(np.concatenate([np.flatnonzero(y == label)[:VALIDATION] for label in range(10)]))
    return training, Images(*_tensors(x[chosen], y[chosen]))


def _root(folder: Path) -> Path:
    for one in (folder, folder / "cifar-10-batches-py", folder / "cifar-10-batches-bin"):
        if list(one.glob("data_batch_*")) and list(one.glob("test_batch*")):
            return one
    raise InputError(
        f"{folder}: no CIFAR-10 (data_batch_1 … and test_batch) there; give the unpacked cifar-10-batches-py or -bin"
    )


def _read(root: Path, names: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pixels (images, 3072) and labels, uint8, of the files of these names."""
    parts = [_binary(path) if path.suffix == ".bin" else _pickled(path) for path in sorted(root.glob(names))]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def _binary(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    raw = np.fromfile(path, np.uint8)
    if not len(raw) or len(raw) % (_PIXELS + 1):
        raise InputError(f"{path}: {len(raw):,} bytes are no whole number of CIFAR-10's images; get it anew")
    rows = raw.reshape(-1, _PIXELS + 1)
    return _checked(path, rows[:, 1:], rows[:, 0])


class _Harmless(pickle.Unpickler):
    """Arrays and plain values; a pickle may name any function, and none but those of arrays is called."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _pickled(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    try:
        with path.open("rb") as file:
            batch = _Harmless(file, encoding="bytes").load()
        x, y = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        raise InputError(f"{path}: no batch of CIFAR-10 ({error}); get it anew") from None
    return _checked(path, x, y)


def _checked(path: Path, x: Any, y: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    right = x.ndim == 2 and x.dtype == np.uint8 and x.shape[1] == _PIXELS and y.shape == x.shape[:1]
    if not right or y.dtype.kind not in "iu" or not len(y) or y.min() < 0 or y.max() > 9:
        raise InputError(f"{path}: no batch of CIFAR-10: {x.dtype} of shape {x.shape}, labels of shape {y.shape}")
    return x, y


def _tensors(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy((x / 255).astype(np.float32).reshape(-1, 3, 32, 32)), torch.from_numpy(y.astype(np.int64))


__all__ = ["images_of"]
