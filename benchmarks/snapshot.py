"""What a snapshot of ResNet-50 costs on two cores: the statistics of 27,560 filters and 54 layers, 25.5 M weights.

Measured beside it, in turns:

* two threads that merely sum the four arrays which a snapshot reads (weights, gradients, previous and initial
  weights): the limit that memory sets;
* TensorBoard's ``add_histogram`` of the same weights and gradients, without the writing to disk;
* the standard set in plain NumPy, for orientation.

    python benchmarks/snapshot.py
    python benchmarks/snapshot.py --rounds 100 --peer-rounds 5
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pairs

from deeptracker import __version__
from deeptracker.statistics import StandardSet, filter_quartiles
from deeptracker.testing.networks import network

Arrays = list[np.ndarray[Any, Any]]
Run = Callable[[], object]
THREADS = 2
STANDARD, QUARTILES, TENSORBOARD = 3.0, 15.0, 20.0  # the limits


def random_arrays(rng: np.random.Generator, scale: float) -> Arrays:
    """One array of filters × weights for each layer of ResNet-50, as He et al. initialise it, times ``scale``."""
    out = []
    for layer in network("resnet50", classes=1000):
        values = rng.standard_normal((layer.filters, layer.fan_in), np.float32)
        values *= np.float32(scale * np.sqrt(2 / layer.fan_in))
        out.append(values)
    return out


@numba.njit(nogil=True, fastmath=True)
def _sum(a: Any, b: Any, c: Any, d: Any) -> Any:
    # Four sums side by side in float32 lanes: four streams keep memory busier than one after another.
    total_a, total_b, total_c, total_d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for i in range(a.size):
        total_a += a[i]
        total_b += b[i]
        total_c += c[i]
        total_d += d[i]
    return total_a + total_b + total_c + total_d


def summing(pool: ThreadPoolExecutor, arrays: Sequence[Arrays]) -> Run:
    """Half of every array for each of two threads."""
    halves = []
    for half in range(THREADS):
        parts = []
        for layer in zip(*arrays, strict=True):
            size = layer[0].size
            share = slice(size * half // THREADS, size * (half + 1) // THREADS)
            parts.append([values.reshape(-1)[share] for values in layer])
        halves.append(parts)

    def work(parts: list[list[Any]]) -> None:
        for part in parts:
            _sum(*part)

    return lambda: list(pool.map(work, halves))


def plain_numpy(w: Arrays, g: Arrays, previous: Arrays, initial: Arrays) -> None:
    """The standard set per filter, float64 sums, as one would write it; NaN would spoil it."""

    def moments(x: Any) -> tuple[Any, ...]:
        square = np.einsum("ij,ij->i", x, x, dtype=np.float64)
        mean = x.mean(1, dtype=np.float64)
        rms = np.sqrt(square / x.shape[1])
        std = np.sqrt(np.maximum(rms**2 - mean**2, 0))
        norm1 = np.abs(x).sum(1, dtype=np.float64)
        return x.min(1), x.max(1), mean, std, norm1, np.sqrt(square), rms, (x == 0).mean(1), np.isfinite(x).sum(1)

    def dot(x: Any, y: Any) -> Any:
        return np.einsum("ij,ij->i", x, y, dtype=np.float64)

    for now, gradient, before, start in zip(w, g, previous, initial, strict=True):
        of_weights, of_gradients = moments(now), moments(gradient)
        update, drift = now - before, now - start
        norm, other, first = of_weights[5], np.sqrt(dot(before, before)), np.sqrt(dot(start, start))
        update1, update2 = np.abs(update).sum(1, dtype=np.float64), dot(update, update)
        _ = of_gradients[4] / of_weights[4], of_gradients[5] / norm, dot(now, before) / (norm * other)
        _ = update1 / np.abs(before).sum(1, dtype=np.float64), np.sqrt(update2) / other
        for distance, length in ((update2, other), (dot(drift, drift), first)):
            sine = np.sqrt(np.clip((distance - (norm - length) ** 2) / (4 * norm * length), 0, 1))
            _ = 2 * np.arcsin(sine)
        before[:] = now


@contextlib.contextmanager
def tensorboard(w: Arrays, g: Arrays) -> Iterator[Run | None]:
    """``add_histogram`` of every layer's weights and gradients; None where TensorBoard is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("TensorBoard is not installed, so nothing is compared with it: pip install tensorboard")
        yield None
        return
    import torch

    names = [layer.name for layer in network("resnet50", classes=1000)]
    tensors = [(name, torch.from_numpy(a), torch.from_numpy(b)) for name, a, b in zip(names, w, g, strict=True)]
    folder = tempfile.mkdtemp(prefix="benchmark-")
    writer = SummaryWriter(folder)

    def run() -> None:
        for name, weights, gradients in tensors:
            writer.add_histogram(name, weights, 0)
            writer.add_histogram(f"{name}/grad", gradients, 0)

    try:
        yield run
    finally:
        writer.close()
        shutil.rmtree(folder, ignore_errors=True)


def row(times: pairs.Times, name: str, beside: str, end: str = "") -> None:
    """One line of the table."""
    ratios = ""
    if name != beside:
        least = pairs.best(times, name) / pairs.best(times, beside)
        ratios = (
            f"{pairs.ratio(times, name, beside):9.2f}{least:9.2f}{pairs.ratio(times, name, beside, cpu=True):9.2f}"
        )
    milliseconds = f"{1000 * pairs.median(times, name):9.1f}{1000 * pairs.best(times, name):9.1f}"
    print(f"{name:<38}{milliseconds}{ratios}{end}", flush=True)


def limit(times: pairs.Times, name: str, beside: str, most: float) -> str:
    """What stands at the end of a line that has an upper limit."""
    return f"   at most {most:g}: {pairs.verdict(pairs.ratio(times, name, beside) <= most)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="of the standard set and the sum (default 60)")
    parser.add_argument("--peer-rounds", type=int, default=3, help="of TensorBoard and NumPy (default 3)")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    weights, others, initial = (random_arrays(rng, 1.0) for _ in range(3))
    gradients, previous = random_arrays(rng, 0.01), [w.copy() for w in weights]
    for now, before in zip(others, weights, strict=True):
        now[:] = before + np.float32(1e-3) * now
    standard = StandardSet(initial, weights, THREADS)
    turns = [weights, others]

    def snapshot() -> None:
        turns.reverse()
        standard.gradients(gradients)
        standard.weights(turns[0])
        standard.derive()

    filters = [len(rows) for rows in weights]

    def with_quartiles() -> None:
        snapshot()
        filter_quartiles(turns[0], filters, THREADS)
        filter_quartiles(gradients, filters, THREADS)

    print(
        f"deeptracker {__version__}, numpy {np.__version__}, numba {numba.__version__}, "
        f"Python {platform.python_version()}\n{pairs.processor()}; {THREADS} threads; {pairs.load()}; "
        f"{sum(filters):,} filters, {sum(w.size for w in weights):,} weights\n"
        f"{'':38}{'ms':^18}{'ratio':^27}\n{'':38}{'median':>9}{'best':>9}{'median':>9}{'of best':>9}{'CPU':>9}"
    )
    with ThreadPoolExecutor(THREADS) as pool, tensorboard(weights, gradients) as peer:
        summed, ours, exact = "sum of w, g, w_prev, w_0", "standard set", "standard set and exact quartiles"
        sums = summing(pool, (weights, gradients, previous, initial))
        times = pairs.alternate({summed: sums, ours: snapshot}, asked.rounds)
        row(times, summed, summed)
        row(times, ours, summed, limit(times, ours, summed, STANDARD))
        times = pairs.alternate({summed: sums, exact: with_quartiles}, max(3, asked.rounds // 4))
        row(times, exact, summed, limit(times, exact, summed, QUARTILES))
        plain, board = "standard set in NumPy, one thread", "TensorBoard add_histogram of w and g"
        contestants: dict[str, Run] = {ours: snapshot}
        contestants[plain] = lambda: plain_numpy(turns[0], gradients, previous, initial)
        if peer is not None:
            contestants[board] = peer
        times = pairs.alternate(contestants, asked.peer_rounds)
        row(times, plain, ours)
        if peer is not None:
            times_ours = pairs.ratio(times, board, ours)
            row(times, board, ours, f"   at least {TENSORBOARD:g}: {pairs.verdict(times_ours >= TENSORBOARD)}")
        print(
            "Ratios: of our lines to the sum, of the last two to our standard set, in the same round.\n"
            "Limits are on the median ratio of wall times; on a busy machine see that of CPU times.\n"
            f"At the end: {pairs.load()}."
        )


if __name__ == "__main__":
    main()
