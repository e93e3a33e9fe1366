"""Bytes on disk a snapshot: ours and TensorBoard's, of the same training, in all and per number that is kept.

TensorBoard's file holds a histogram of every parameter and gradient: 5 numbers and two a bucket. Ours holds every
statistic of every filter and layer. Both record ResNet-20 at every step.

    python benchmarks/disk.py --steps 400
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import trainings
from torch.utils.tensorboard import SummaryWriter

import deeptracker as dt


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def messages(file: Path) -> Iterator[bytes]:
    """Records of an event file: length, checksum, content, checksum."""
    raw, at = file.read_bytes(), 0
    while at + 12 <= len(raw):
        length = struct.unpack_from("<Q", raw, at)[0]
        yield raw[at + 12 : at + 12 + length]
        at += 16 + length


def numbers_in_tensorboard(folder: Path) -> int:
    """Numbers of all histograms: five, and limit and count a bucket."""
    from tensorboard.compat.proto.event_pb2 import Event

    total = 0
    for file in folder.glob("*tfevents*"):
        for message in messages(file):
            for value in Event.FromString(message).summary.value:
                if value.HasField("histo"):
                    total += 5 + 2 * len(value.histo.bucket)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    training = trainings.TRAININGS["resnet20"]
    generator = torch.Generator().manual_seed(1)
    model = training.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        ours, theirs = Path(folder) / "ours", Path(folder) / "theirs"
        writer = SummaryWriter(str(theirs))
        with dt.Recorder(ours, model, optimizer=optimizer, every=1, strict=True) as recorder:
            for step in range(steps):
                x, y = training.batch(generator)
                x, y = x[:16], y[:16]  # small batches: more steps, and statistics as noisy as they get
                loss = torch.nn.functional.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                recorder.step(step, loss=loss)
                for name, parameter in model.named_parameters():
                    writer.add_histogram(name, parameter, step)
                    writer.add_histogram(f"{name}/grad", parameter.grad, step)
        writer.close()
        run = dt.open_run(ours)
        kept = sum(
            variable.size
            for group in ("filters/dense", "layers/dense")
            for variable in run.dataset(group).data_vars.values()
        )
        once = size_of(ours / "log.zarr" / "architecture") + size_of(ours / "log.zarr" / "initial")
        size, theirs_size, theirs_kept = size_of(ours) - once, size_of(theirs), numbers_in_tensorboard(theirs)
    print(
        f"deeptracker {dt.__version__}, torch {torch.__version__}, {platform.machine()}; ResNet-20, {steps} snapshots"
    )
    print(f"{'':14}{'kB a snapshot':>15}{'numbers a snapshot':>20}{'bytes a number':>16}")
    for name, bytes_, numbers in (("DeepTracker", size, kept), ("TensorBoard", theirs_size, theirs_kept)):
        print(f"{name:14}{bytes_ / steps / 1000:15.1f}{numbers / steps:20,.0f}{bytes_ / numbers:16.2f}")
    print(f"written once by DeepTracker (architecture, weights at construction): {once / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
