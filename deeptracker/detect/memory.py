"""Steps that only an optimizer without a memory makes: its state was lost, at a resume or at a drop of the rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deeptracker.aggregate import Source, windows
from deeptracker.detect.alarms import Alarm

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]
Values = npt.NDArray[np.floating[Any]]

_EXACT = 0.01  # of the logarithm of a step, between the layers
_ELSE = 0.1  # by which such a step differs from those before
_USUAL = 10.0  # times its usual size: a gradient beyond that outweighs any memory
_PAST, _LEAST_LAYERS = 50, 3
MADE_OF = ("gradient", "sign")


def memory_alarms(run: Run) -> list[Alarm]:
    """One alarm for each record at which the optimizer began anew.

    Notes
    -----
    With an empty memory, SGD with momentum makes of each layer's gradient g the step η g (Nesterov: one multiple of
    it), Adam one of η for every weight whose gradient is not 0 (Kingma & Ba 2015: the first m̂ / √v̂ is the sign).
    So ‖Δw‖ / η‖g‖, or ‖Δw‖ / η√n, is the same number in all layers, to a hundredth; in a training that goes on it
    never is, nor is it of its usual size. Needs single steps, and 50 of them before. Where every step is so (SGD
    without momentum), none tells anything; nor does a step of which the gradient is so large that it outweighs what
    the memory holds.
    """
    if not run.has("layers/dense") or not run.has("scalars"):
        return []
    source, architecture = Source(run, "layers/dense"), run.dataset("architecture")
    iteration, steps = (source.dataset[name].values for name in ("iteration", "steps"))
    rates = run.dataset("scalars")["learning_rate"].load().reindex(iteration=iteration).values
    if not rates.shape[1]:
        return []
    group = np.clip(architecture["lr_group"].values.astype(np.int64), 0, rates.shape[1] - 1)
    weights = architecture["parameters"].values.astype(np.float64)
    sizes = [
        _sizes(
            source.read("update_norm2", *span),
            source.read("g_norm2", *span),
            source.read("g_zero_fraction", *span),
            rates[slice(*span)][:, group],
            weights,
        )
        for span in windows(source, "iteration", most_bytes=4 << 20)
    ]
    out = []
    for number, made_of in enumerate(MADE_OF) if sizes else ():
        typical, spread, gradient = (np.concatenate([window[number][part] for window in sizes]) for part in range(3))
        for record in _began_anew(typical, spread, gradient, steps):
            at, facts = int(iteration[record]), {"made_of": made_of}
            out.append(Alarm("memory", -1, "empty", at, at, at, at, float("inf"), 0.0, facts=facts))
    return sorted(out, key=lambda alarm: alarm.onset)


def _sizes(
    update: Values, gradient: Values, zeros: Values, rates: Values, weights: Array
) -> list[tuple[Array, Array, Array]]:
    """Of a step over its gradient, and over the signs of it: median of the logarithms and their range, and the median
    of the logarithms of the gradients; (records,) each.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.log(update.astype(np.float64)) - np.log(rates)
        log_gradient = np.log(gradient.astype(np.float64))
        both = (
            step - log_gradient,
            step - 0.5 * np.log(weights * (1 - zeros.astype(np.float64))),
        )
    out = []
    for size in both:
        size = np.where(np.isfinite(size), size, np.nan)
        known = np.isfinite(size).sum(axis=1) >= max(_LEAST_LAYERS, size.shape[1] / 2)
        typical, spread, usual = (np.full(len(size), np.nan) for _ in range(3))
        typical[known] = np.nanmedian(size[known], axis=1)
        spread[known] = np.nanmax(size[known], axis=1) - np.nanmin(size[known], axis=1)
        usual[known] = np.nanmedian(np.where(np.isfinite(log_gradient), log_gradient, np.nan)[known], axis=1)
        out.append((typical, spread, usual))
    return out


def _began_anew(typical: Array, spread: Array, gradient: Array, steps: npt.NDArray[np.int64]) -> list[int]:
    """Records whose steps are alike in all layers, after fifty that were not, and of another size, though their
    gradients are not.
    """
    with np.errstate(invalid="ignore"):
        alike = (spread < _EXACT) & (steps == 1)
    out = []
    for record in np.flatnonzero(alike).tolist():
        past = slice(max(record - _PAST, 0), record)
        known = np.isfinite(typical[past])
        if known.sum() < _PAST // 2 or record < _PAST or alike[past].mean() > 0.1:
            continue
        larger = gradient[record] - np.median(gradient[past][known])
        if larger < np.log(_USUAL) and abs(typical[record] - np.median(typical[past][known])) > _ELSE:
            out.append(record)
    return out


__all__ = ["memory_alarms"]
