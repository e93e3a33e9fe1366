"""The index of what training did: pyramids of filters and layers, and the levels above. Labelled tier."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.aggregate.batch import Batch, Later
from deeptracker.aggregate.carried import Carried, carried, sizes_of
from deeptracker.aggregate.grown import Earlier
from deeptracker.aggregate.jobs import FILE_BYTES, Arrays, Job, Key, Output, Writer, file_records, perform
from deeptracker.aggregate.levels import Layers, merge_layers
from deeptracker.aggregate.pyramid import edges, pyramid
from deeptracker.aggregate.quantiles import QUANTILES, layer_quantiles
from deeptracker.aggregate.windows import Readable, Source, windows
from deeptracker.conform import build, declaration
from deeptracker.schema.indexed import BIN_SIZES, REDUCTIONS
from deeptracker.schema.recorded import statistics

_NAMES = tuple(variable.name for variable in statistics("layer"))
_WINDOW, _LAYER_STEP = 16 << 20, 2 << 20  # bytes of a variable: that a task works on; of layers, held at once
_QUANTILED = tuple(variable.name for variable in declaration("index/layer_quantiles").variables)


class Level:
    """Groups of layers: their names in order of execution, and the group of each layer."""

    def __init__(self, name: str, members: npt.NDArray[np.object_], group: npt.NDArray[np.intp]) -> None:
        self.name, self.members, self.group = name, members, group


def hierarchy(architecture: xr.Dataset) -> tuple[Level, ...]:
    """Blocks, stages and the model, as the architecture says."""
    levels = []
    for name in ("block", "stage"):
        of_layer = architecture[name].values.astype(str).tolist()
        members = list(dict.fromkeys(of_layer))
        group = np.array([members.index(member) for member in of_layer], np.intp)
        levels.append(Level(name, np.array(members, dtype=object), group))
    return *levels, Level("model", np.array(["model"], dtype=object), np.zeros(architecture.sizes["layer"], np.intp))


def _layer_window(
    source: Source,
    step: int,
    sizes: tuple[int, ...],
    levels: tuple[Level, ...],
    parameters: Any,
    init_norm2: Any,
    start: int,
    stop: int,
) -> Arrays:
    """Everything that comes of the layers' statistics in one window, ``step`` records of it at a time."""
    parts = []
    for first in range(start, stop, step):
        last = min(first + step, stop)
        read = {name: source.read(name, first, last) for name in _NAMES}
        layers = Layers({name: values.astype(np.float64) for name, values in read.items()}, parameters, init_norm2)
        out: Arrays = {}
        _bins(out, "layer", read, sizes)
        for level in levels:
            merged = merge_layers(layers, level.group, len(level.members))
            if level.name == "model":
                out |= {("index/model", name): values[:, 0] for name, values in merged.items()}
                continue
            out |= {(f"index/{level.name}s", name): values for name, values in merged.items()}
            _bins(out, level.name, merged, sizes)
        parts.append(out)
    return parts[0] if len(parts) == 1 else {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _bins(out: Arrays, level: str, values: dict[str, Any], sizes: tuple[int, ...]) -> None:
    for name, array in values.items():
        out |= {(f"index/{level}s_{size}", name): bins for size, bins in pyramid(array, sizes).items()}


def _filter_window(
    source: Source,
    name: str,
    sizes: tuple[int, ...],
    first: Any,
    filters: Any,
    earlier: Carried | None,
    start: int,
    stop: int,
) -> Arrays:
    """The pyramid of one variable of the filters in one window, and its quantiles where they are kept."""
    values = source.read(name, start, stop)
    out: Arrays = {}
    _bins(out, "filter", {name: values}, sizes)
    if name in _QUANTILED:
        out["index/layer_quantiles", name] = layer_quantiles(values, first, filters)
    if earlier is not None:
        earlier.put_into(out, start, stop)
    return out


def layer_job(run: Readable, architecture: xr.Dataset, first: int = 0) -> Job:
    """The work on ``layers/dense`` from a record on: the levels above, and the pyramids of layers, blocks, stages."""
    source, levels = Source(run, "layers/dense"), hierarchy(architecture)
    parameters = architecture["parameters"].values.astype(np.float64)
    init = architecture["init_norm2"].values.astype(np.float64)
    records = file_records(4 * len(parameters))
    spans = windows(source, "iteration", first=first, multiple=records, most_bytes=FILE_BYTES)
    sizes = sizes_of(run, "layers/dense", spans[-1][1])
    outputs: dict[Key, Output] = {}
    for name in _NAMES:
        dtype = declaration("index/blocks")[name].dtype
        outputs["index/model", name] = Output((), dtype)
        for level in levels[:2]:
            outputs[f"index/{level.name}s", name] = Output((len(level.members),), dtype)
        for binned, count in (("layer", len(parameters)), *((one.name, len(one.members)) for one in levels[:2])):
            for size in sizes:
                outputs[f"index/{binned}s_{size}", name] = Output((len(REDUCTIONS), count), rows=size)
    # All variables at once, in float64: fewer records of them than a window has.
    step = BIN_SIZES[-1] * max(1, _LAYER_STEP // (4 * len(parameters) * BIN_SIZES[-1]))
    step = min(step, max(stop - start for start, stop in spans))
    return Job(outputs, spans, partial(_layer_window, source, step, sizes, levels, parameters, init), records, step)


def filter_jobs(run: Readable, architecture: xr.Dataset, first: int = 0) -> Iterator[Job]:
    """The work on ``filters/dense`` from a record on, one job a variable."""
    source = Source(run, "filters/dense")
    begins, filters = architecture["first_filter"].values, architecture["filters"].values
    count = int(architecture.sizes["filter"])
    records = file_records(4 * count)
    spans = windows(source, "iteration", first=first, multiple=records, most_bytes=_WINDOW)
    sizes = sizes_of(run, "filters/dense", spans[-1][1])
    earlier = carried(run, "filters/dense")
    for name in _NAMES:
        outputs = {(f"index/filters_{size}", name): Output((len(REDUCTIONS), count), rows=size) for size in sizes}
        if name in _QUANTILED:
            outputs["index/layer_quantiles", name] = Output((len(begins), len(QUANTILES)))
        work = partial(_filter_window, source, name, sizes, begins, filters, earlier)
        yield Job(outputs, spans, work, records, max(stop - start for start, stop in spans))


def training_jobs(run: Readable, before: Earlier | None = None) -> dict[str, list[Job]]:
    """The work on each recorded group that is there, from the first record on that ``before`` has not for good."""
    out: dict[str, list[Job]] = {}
    if not run.has("architecture"):
        return out
    architecture = run.dataset("architecture").load()
    for group in ("layers/dense", "filters/dense"):
        if run.has(group) and run.dataset(group).sizes.get("iteration"):
            first = before.rows.get(group, 0) if before is not None else 0
            of_layers = group == "layers/dense"
            out[group] = (
                [layer_job(run, architecture, first)] if of_layers else list(filter_jobs(run, architecture, first))
            )
    return out


def index_training(
    batch: Batch, run: Readable, writer: Writer, before: Earlier | None = None
) -> Later[tuple[str, ...]]:
    """Pyramids and coarse levels of whatever the run has of ``layers/dense`` and ``filters/dense``, written by tasks.

    Parameters
    ----------
    before : an earlier index of the run; what it has for good (``before.after(group)`` rows) is left out.

    Returns
    -------
    The groups: ``index/blocks``, ``index/stages``, ``index/model``, ``index/<level>s_<size>``,
    ``index/layer_quantiles``.
    """
    todo = training_jobs(run, before)
    if not todo:
        return batch.add([], lambda _: ())
    architecture = run.dataset("architecture")
    names = {level.name: level.members for level in hierarchy(architecture)}
    names["layer"] = architecture["layer"].values
    recorded, after = {}, {}
    regions: dict[Key, Any] = {}
    for source, jobs in todo.items():
        part = run.dataset(source).isel(iteration=slice(jobs[0].spans[0][0], jobs[0].spans[-1][1]))
        for group in dict.fromkeys(group for job in jobs for group, _ in job.outputs):
            recorded[group] = part
            after[group] = before.after(group) if before is not None else 0
            regions |= _begin(writer, group, jobs, part, names, after[group])

    def write(arrays: Arrays) -> tuple[str, ...]:
        for group in dict.fromkeys(group for group, _ in arrays):
            mine = {name: values for (where, name), values in arrays.items() if where == group}
            writer.put_many({group: _dataset(group, mine, recorded[group], names)}, after=after)
        return tuple(after)

    return perform(batch, [job for jobs in todo.values() for job in jobs], regions, write)


def _begin(
    writer: Writer, group: str, jobs: list[Job], recorded: xr.Dataset, names: dict[str, Any], after: int
) -> dict[Key, Any]:
    """Make the arrays of a group that tasks write; none where the client does."""
    outputs = {name: output for job in jobs for (where, name), output in job.outputs.items() if where == group}
    if not all(output.is_written for output in outputs.values()):
        return {}
    empty = {
        name: _declared((sum(output.length(*span) for span in jobs[0].spans), *output.shape), output.dtype)
        for name, output in outputs.items()
    }
    rows = jobs[0].records // next(iter(outputs.values())).rows
    made = writer.begin(group, _dataset(group, empty, recorded, names), rows=rows, after=after)
    return {(group, name): made[name] for name in outputs}


@cache
def _declared(shape: tuple[int, ...], dtype: str) -> da.Array:
    """An array of which nothing is computed; most variables have the same, and Dask takes long over each."""
    return da.zeros(shape, dtype=dtype, chunks=-1)


def _dataset(group: str, variables: dict[str, Any], recorded: xr.Dataset, names: dict[str, Any]) -> xr.Dataset:
    """Variables of a group of the index with its labels; ``recorded`` are the records that it is made of."""
    positions = recorded["iteration"].values.astype(np.int64)
    level, _, size = group.removeprefix("index/").rpartition("_")
    coordinates: dict[str, Any] = {"iteration": positions}
    if size.isdigit():
        at = edges(positions, int(size))
        variables = {**variables, "records": at["records"], "last": at["last"]}
        coordinates = {"iteration_bin": at["first"], "reduction": list(REDUCTIONS)}
        if level != "filters":  # the reader labels the filter axis itself: a MultiIndex cannot be written
            coordinates[level[:-1]] = names[level[:-1]]
    elif group == "index/layer_quantiles":
        coordinates |= {"layer": names["layer"], "quantile": np.array(QUANTILES)}
    else:
        variables = {**variables, "steps": recorded["steps"].values}
        if group != "index/model":
            coordinates[size[:-1]] = names[size[:-1]]
    return build(group, variables, coordinates)


__all__ = ["hierarchy", "index_training", "training_jobs"]
