"""Whether an analysed run says what happened: compared with plain NumPy and pandas over what was kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from soak.oddities import Array, Truth


class Compared:
    """How many numbers this process has compared."""

    numbers = 0


def differences(run: Any, truth: Truth) -> list[str]:
    """What the run says otherwise; empty where it is right."""
    found = [*_scalars(run, truth)]
    if truth.records:
        found += [*_statistics(run, truth), *_index(run, truth)]
    if truth.passes:
        found += [*_answers(run, truth), *_rules(run, truth)]
    return found


def _differ(what: str, said: Any, true: Any, rtol: float = 0.0, atol: float = 0.0) -> Iterator[str]:
    said, true = np.asarray(said), np.asarray(true)
    Compared.numbers += true.size
    if said.shape != true.shape:
        yield f"{what}: shape {said.shape}, not {true.shape}"
    elif said.dtype.kind in "iuOTU":
        if (said != true).any():
            yield f"{what}: {said[said != true][:3]}, not {true[said != true][:3]}"
    elif not np.allclose(said, true, rtol=rtol, atol=atol, equal_nan=True):
        wrong = ~np.isclose(said, true, rtol=rtol, atol=atol, equal_nan=True)
        yield f"{what}: {said[wrong][:3]}, not {true[wrong][:3]}"


def _scalars(run: Any, truth: Truth) -> Iterator[str]:
    scalars = run.scalars
    steps = np.array(truth.odd.steps, np.int64)
    yield from _differ("scalars.iteration", scalars.iteration.values, steps)
    yield from _differ("scalars.steps", scalars.steps.values, np.concatenate([[-1], np.diff(steps)]))
    yield from _differ("loss", scalars.loss.values, truth.losses)
    for name, values in truth.scalars.items():
        yield from _differ(f"scalar {name!r}", scalars[name].values, values)


def moments(rows: Array) -> dict[str, Array]:
    """Statistics of the finite values of each row."""
    out: dict[str, list[float]] = {name: [] for name in ("min", "max", "mean", "std", "norm1", "norm2", "rms")}
    for row in rows:
        some = row[np.isfinite(row)]
        for name in out:
            out[name].append(float("nan"))
        if len(some):
            large = max(1.0, float(np.abs(some).max()))  # squares of 1e30 and more, too
            out["min"][-1], out["max"][-1], out["mean"][-1] = some.min(), some.max(), some.mean()
            out["std"][-1], out["norm1"][-1] = (some / large).std() * large, np.abs(some).sum()
            out["norm2"][-1] = np.sqrt(np.sum((some / large) ** 2)) * large
            out["rms"][-1] = out["norm2"][-1] / np.sqrt(len(some))
    return {name: np.array(values) for name, values in out.items()}


def expected(weights: list[Array], gradients: list[Array]) -> dict[str, Array]:
    """Statistics (record, row) of weights and gradients (record, row, weight)."""
    out: dict[str, list[Array]] = {}
    for at, (w, g) in enumerate(zip(weights, gradients, strict=True)):
        named = {f"w_{name}": values for name, values in moments(w).items()}
        named |= {f"g_{name}": values for name, values in moments(g).items()}
        named["nonfinite"] = (~np.isfinite(w)).sum(1) + (~np.isfinite(g)).sum(1)
        named["w_zero_fraction"] = (w == 0).mean(1)
        before = weights[at - 1] if at else np.full_like(w, np.nan)
        both = np.isfinite(w) & np.isfinite(before)
        update = np.where(both, w, 0) - np.where(both, before, 0)
        none = ~both.any(axis=1)
        size, previous = np.sqrt((update**2).sum(1)), np.sqrt((np.where(both, before, 0) ** 2).sum(1))
        named["update_norm2"] = np.where(none, np.nan, size)
        with np.errstate(divide="ignore", invalid="ignore"):
            named["update_ratio2"] = np.where(none | (previous == 0), np.nan, size / previous)
        for name, values in named.items():
            out.setdefault(name, []).append(values)
    return {name: np.array(values) for name, values in out.items()}


def _of_layers(truth: Truth, names: list[str]) -> dict[str, Array]:
    """Statistics of several layers' weights as one row."""

    def joined(parts: dict[str, list[Array]]) -> list[Array]:
        return [np.concatenate([rows.ravel() for rows in row])[None] for row in zip(*map(parts.get, names))]  # noqa: B905

    return expected(joined(truth.weights), joined(truth.gradients))


def _statistics(run: Any, truth: Truth) -> Iterator[str]:
    filters, layers = run.filters.load(), run.layers.load()
    yield from _differ("filters.iteration", filters.iteration.values, truth.records)
    names = truth.odd.layers
    for layer in names[:: 1 + len(names) // 20]:  # of a thousand layers some; the index is of all
        for name, values in expected(truth.weights[layer], truth.gradients[layer]).items():
            said = filters[name].sel(layer=layer).values
            yield from _differ(f"{name} of filters of {layer!r}", said, values, 2e-5, 1e-7 * _size(truth, name))
        for name, values in _of_layers(truth, [layer]).items():
            said = layers[name].sel(layer=layer).values[:, None]
            yield from _differ(f"{name} of {layer!r}", said, values, 2e-5, 1e-7 * _size(truth, name))


def _size(truth: Truth, name: str) -> float:
    """How large the numbers are from which a statistic comes: what rounding is measured by."""
    kept = truth.gradients if name.startswith("g_") else truth.weights
    values = np.concatenate([rows.ravel() for layer in kept.values() for rows in layer])
    return float(np.abs(values[np.isfinite(values)]).max(initial=1.0))


def _index(run: Any, truth: Truth) -> Iterator[str]:
    everything = _of_layers(truth, [str(name) for name in run.architecture.layer.values])
    model = run.dataset("index/model")
    for name in (n for n in everything if not n.startswith("update")):
        said = model[name].values[:, None]
        yield from _differ(f"{name} of the model", said, everything[name], 1e-4, 1e-6 * _size(truth, name))
    bins = run.dataset("index/filters_8")
    starts = range(0, len(truth.records), 8)
    yield from _differ("bins", bins.iteration_bin.values, truth.records[::8])
    yield from _differ("ends of bins", bins["last"].values, [truth.records[s : s + 8][-1] for s in starts])
    for name in ("w_norm2", "w_min", "g_max", "update_ratio2"):
        values = run.filters[name].values
        for at, start in enumerate(starts):
            frame = pd.DataFrame(values[start : start + 8].astype(np.float64))
            true = np.stack([frame.min(), frame.mean(), frame.max()])
            yield from _differ(f"{name} in bin {at}", bins[name].values[at], true, 1e-5)


def correctness(truth: Truth) -> Array:
    """(pass, image) 1, 0 and −1, images as the user has them."""
    predicted, target = np.array(truth.predicted), np.array(truth.odd.target)
    return np.where((predicted < 0) | (target < 0), -1, predicted == target)


def _answers(run: Any, truth: Truth) -> Iterator[str]:
    answers, images = run.validation, run.images
    yield from _differ("validation", answers.validation.values, truth.passes)
    place = images["position"].values
    yield from _differ("target", images.target.values, np.array(truth.odd.target)[place])
    yield from _differ("predicted", answers.predicted.values, np.array(truth.predicted)[:, place])
    yield from _differ("correct", answers.correct.values, correctness(truth)[:, place])
    if truth.odd.ids is not None:
        yield from _differ("ids", images.image.values, np.array(truth.odd.ids)[place])
    if truth.odd.classes is not None:
        yield from _differ("classes", images["class"].values.astype(object), np.array(truth.odd.classes, object))
    target = np.array(truth.odd.target)
    if not (target >= 0).any():
        return
    accuracy = run.dataset("index/validation/validation/raw/classes").accuracy
    true = np.full((len(truth.passes), accuracy.sizes["class"]), np.nan)
    for (row, label), right in np.ndenumerate(true):
        known = correctness(truth)[row][(target == label) & (correctness(truth)[row] >= 0)]
        true[row, label] = known.mean() if len(known) else right
    yield from _differ("accuracy", accuracy.values, true, 1e-6)


def _rules(run: Any, truth: Truth) -> Iterator[str]:
    """The left and the right rule, counted image by image as they are written down."""
    if max(truth.odd.target, default=-1) < 0:
        return
    said = run.dataset("anomalies/validation/validation/raw/classes")
    shape = (len(truth.passes), said.sizes["class"], said.sizes["k"], 2)
    left, right, answers = np.zeros(shape, np.int64), np.zeros(shape, np.int64), correctness(truth)
    for image, label in enumerate(truth.odd.target):
        known = [t for t in range(len(truth.passes)) if answers[t, image] >= 0]
        line = [int(answers[t, image]) for t in known]
        for i in range(1, len(line)):
            if line[i] == line[i - 1]:
                continue
            before = next((n for n in range(i) if line[i - 1 - n] != line[i - 1]), i)
            after = next((n for n in range(len(line) - i) if line[i + n] != line[i]), len(line) - i)
            left[known[i], label, :before, 1 - line[i]] += 1
            right[known[i], label, :after, 1 - line[i]] += 1
    yield from _differ("left rule", said["left"].values, left)
    yield from _differ("right rule", said["right"].values, right)


__all__ = ["Compared", "correctness", "differences", "expected"]
