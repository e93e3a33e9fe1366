"""From accumulators to the named statistics of the data model; the same for filters and for layers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deeptracker.statistics.accumulate import GRADIENT, WEIGHT

Float64 = npt.NDArray[np.float64]


def _ratio(top: Float64, bottom: Float64) -> Float64:
    """Quotient; a zero denominator gives NaN, not an epsilon."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0)


def _angle(distance_square: Float64, norm: Float64, other: Float64) -> Float64:
    """Angle between two vectors from their distance and norms, radians.

    sin²(θ/2) = (‖a − b‖² − (‖a‖ − ‖b‖)²) / (4‖a‖‖b‖): right to 1e-5 rad, where arccos of a cosine is noise.
    """
    sine_square = _ratio(distance_square - (norm - other) ** 2, 4 * norm * other)
    return 2 * np.arcsin(np.sqrt(np.clip(sine_square, 0, 1)))


def _moments(letter: str, parts: Float64, columns: tuple[str, ...]) -> dict[str, Float64]:
    column = {name: parts[:, columns.index(name)] for name in GRADIENT}
    count, square = column["count"], column["square"]
    mean = _ratio(column["sum"], count)
    variance = np.maximum(_ratio(square, count) - mean**2, 0)
    size = count + column["nonfinite"]
    return {
        f"{letter}_min": column["min"],
        f"{letter}_max": column["max"],
        f"{letter}_mean": mean,
        f"{letter}_std": np.sqrt(variance),
        f"{letter}_norm1": np.where(count > 0, column["norm1"], np.nan),
        f"{letter}_norm2": np.where(count > 0, np.sqrt(square), np.nan),
        f"{letter}_rms": np.sqrt(_ratio(square, count)),
        f"{letter}_zero_fraction": _ratio(column["zeros"], size),
    }


def derive(
    weights: Float64, gradients: Float64 | None, *, has_previous: bool = True
) -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int32]]:
    """The standard set of statistics (``methods`` §1), one value a row of accumulators.

    Parameters
    ----------
    weights : (rows, len(WEIGHT)) float64.
    gradients : (rows, len(GRADIENT)) float64, or None where there were none: all ``g_*`` are NaN.
    has_previous : False at the first record and after a resume: everything about Δw is NaN.

    Returns
    -------
    name → (rows,) float32; ``nonfinite`` int32. NaN where a denominator is zero or nothing is finite.
    """
    if gradients is None:
        gradients = np.full((len(weights), len(GRADIENT)), np.nan)
        gradients[:, GRADIENT.index("nonfinite")] = 0
        gradients[:, GRADIENT.index("count")] = 0
    column = {name: weights[:, i] for i, name in enumerate(WEIGHT)}
    norm, previous = np.sqrt(column["square"]), np.sqrt(column["prev_square"])
    update = np.sqrt(column["update_square"])
    out = _moments("w", weights, WEIGHT) | _moments("g", gradients, GRADIENT)
    out["grad_ratio1"] = _ratio(out["g_norm1"], column["norm1"])
    out["grad_ratio2"] = _ratio(out["g_norm2"], norm)
    changes = {
        "update_norm1": column["update_norm1"],
        "update_norm2": update,
        "update_ratio1": _ratio(column["update_norm1"], column["prev_norm1"]),
        "update_ratio2": _ratio(update, previous),
        "update_cosine": np.clip(_ratio(column["dot_prev"], norm * previous), -1, 1),
        "update_angle": _angle(column["update_square"], norm, previous),
    }
    out |= changes if has_previous else {name: np.full_like(norm, np.nan) for name in changes}
    out["rotation_from_init"] = _angle(column["drift_square"], norm, np.sqrt(column["init_square"]))
    nonfinite = column["nonfinite"] + gradients[:, GRADIENT.index("nonfinite")]
    with np.errstate(over="ignore"):
        named: dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int32]] = {
            name: values.astype(np.float32) for name, values in out.items()
        }
    named["nonfinite"] = nonfinite.astype(np.int32)
    return named
