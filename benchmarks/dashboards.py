"""The same log in TensorBoard: how long until a page is complete, and how long its gestures take, beside ours.

The recorded statistics of every filter become histograms of a layer, one a record, in event files, as people log
them; what was logged besides becomes scalars. TensorBoard is started on them with its defaults (it keeps 500 of the
records of a histogram, chosen at random), and has read them all before a page is opened. Both pages are opened and
used in the same headless Chromium, one after the other.

    python benchmarks/dashboards.py                 # a log of the paper's scale is simulated and analysed
    python benchmarks/dashboards.py --small         # a small one
    python benchmarks/dashboards.py --run RUN       # a run of yours, analysed
    python benchmarks/dashboards.py --run RUN --write FOLDER      # only write the event files
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import explorer
import numpy as np
import pairs
import scales

from deeptracker import __version__, open_run
from deeptracker.view.places import layers_of

STATISTICS = ("w_rms", "g_rms", "update_angle")
SCALARS = ("loss", "grad_norm", "learning_rate")
MOST_CLASSES = 20
BLOCK = 64
"""Records that are read at a time."""
VISIBLE = """() => {
  const deep = (root, found = []) => {
    for (const node of root.querySelectorAll('*')) {
      if (node.tagName.toLowerCase() == TAG) found.push(node)
      if (node.shadowRoot) deep(node.shadowRoot, found)
    }
    return found
  }
  const seen = deep(document).filter(node => {
    const box = node.getBoundingClientRect()
    return box.width > 0 && box.bottom > 0 && box.top < window.innerHeight
  })
  return seen.length > 0 && seen.every(node => DRAWN)
}"""
HISTOGRAMS = VISIBLE.replace("TAG", "'vz-histogram-timeseries'").replace(
    "DRAWN", "node.shadowRoot.querySelectorAll('path').length > 3"
)
DISTRIBUTIONS = VISIBLE.replace("TAG", "'vz-distribution-chart'").replace(
    "DRAWN", "node.shadowRoot.querySelectorAll('path.area').length > 1"
)


def write(run: Any, folder: Path) -> int:
    """Event files of a run's statistics; the number of histograms."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    places, filters = layers_of(run), run.filters
    for name in (name for name in SCALARS if name in run.scalars):
        values = run.scalars[name]
        values = values.isel(param_group=0) if "param_group" in values.dims else values
        for at, value in zip(values["iteration"].values, values.values, strict=True):
            writer.add_scalar(name, float(value), int(at))
    for view in run.validation_sets:
        correct = run.dataset(f"validation/{view}")["correct"]
        target = run.dataset(f"images/{view.split('/')[0]}")["target"].values
        for step, right in zip(correct["validation"].values, correct.values, strict=True):
            writer.add_scalar(f"{view}/error", 1 - float(right.mean()), int(step))
            for label in np.unique(target[target >= 0])[:MOST_CLASSES]:
                writer.add_scalar(
                    f"{view}/error of class {label}", 1 - float(right[target == label].mean()), int(step)
                )
    at = filters["iteration"].values
    count = 0
    for name in (name for name in STATISTICS if name in filters):
        for first in range(0, len(at), BLOCK):
            block = filters[name].isel(iteration=slice(first, first + BLOCK)).values
            for step, row in zip(at[first : first + BLOCK], block, strict=True):
                for place in places:
                    numbers = row[place.along("filter")]
                    numbers = numbers[np.isfinite(numbers)]
                    if len(numbers):
                        writer.add_histogram(f"{name}/{place.name}", numbers, int(step))
                        count += 1
    writer.close()
    return count


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """The address of a TensorBoard that has read the folder."""
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(folder),
        "--port",
        "0",
        "--host",
        "127.0.0.1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+/", line)))
        _until_read(address)
        yield address
    finally:
        process.terminate()
        process.wait()


def _until_read(address: str) -> None:
    """Wait until the number of tags stands still and the processor rests."""
    last, still = "", 0
    while still < 5:
        time.sleep(2)
        tags = urllib.request.urlopen(f"{address}data/plugin/histograms/tags").read().decode()
        still = still + 1 if tags == last and len(tags) > 10 else 0
        last = tags
