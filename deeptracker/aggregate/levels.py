"""From layers to blocks, stages and the model: statistics of concatenated parameters, from those of their pieces.

Array tier. A statistic of the coarse level is a row: the parts it needs and what it makes of them. A part is lifted
from the stored statistics of a layer, and combines by a law that does not depend on how parameters were cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deeptracker.aggregate.reductions import PARTS

Array = npt.NDArray[np.float64]
Lift = Callable[["Layers"], Array]


@dataclass(frozen=True, slots=True)
class Layers:
    """Stored statistics of all layers over some records.

    Parameters
    ----------
    values : name → (records, layers) float64.
    parameters : (layers,) number of weights. init_norm2 : (layers,) norm of the weights at construction.
    """

    values: Mapping[str, Array]
    parameters: Array
    init_norm2: Array

    def __getitem__(self, name: str) -> Array:
        return self.values[name]

    def previous(self, order: int) -> Array:
        """‖w_prev‖ of each layer: ‖Δw‖ / ratio; where nothing moved, ‖w‖; where only the ratio is NaN, zero."""
        update, ratio, norm = self[f"update_norm{order}"], self[f"update_ratio{order}"], self[f"w_norm{order}"]
        moved = np.divide(update, ratio, out=np.zeros_like(update), where=np.isfinite(ratio) & (ratio > 0))
        return np.where(np.isnan(update), np.nan, np.where(update == 0, norm, moved))


@dataclass(frozen=True, slots=True)
class LevelPart:
    """How a part comes out of a layer's statistics, and the law in ``reductions.PARTS`` by which parts combine."""

    lift: Lift
    law: str


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic of the coarse level: its parts, and what it makes of them."""

    name: str
    parts: tuple[str, ...]
    finalize: Callable[..., Array]


def _ratio(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)


def _root_ratio(top: Array, bottom: Array) -> Array:
    return np.sqrt(_ratio(top, bottom))


def _angle(distance2: Array, one2: Array, other2: Array) -> Array:
    """Angle between vectors from squared distance and norms, radians: the formula of ``update_angle``."""
    one, other = np.sqrt(one2), np.sqrt(other2)
    sine2 = _ratio(distance2 - (one - other) ** 2, 4 * one * other)
    return 2 * np.arcsin(np.sqrt(np.clip(sine2, 0, 1)))


def _drift2(layers: Layers) -> Array:
    """‖w − w₀‖² = 4‖w‖‖w₀‖ sin²(θ/2) + (‖w‖ − ‖w₀‖)², θ the rotation; right too where a norm is zero."""
    norm, init, angle = layers["w_norm2"], layers.init_norm2, layers["rotation_from_init"]
    return 4 * norm * init * np.nan_to_num(np.sin(angle / 2)) ** 2 + (norm - init) ** 2


def _counted(letter: str) -> Lift:
    """Finite values of each layer. How many of ``nonfinite`` are gradients is not stored, but (norm / rms)² is their
    number, and of a layer of zeros alone the share of zeros tells it.
    """

    def lift(layers: Layers) -> Array:
        norm, rms, lost = layers[f"{letter}_norm2"], layers[f"{letter}_rms"], layers["nonfinite"]
        told = np.isfinite(norm) & (rms > 0)
        counted = np.divide(norm, rms, out=np.zeros_like(norm), where=told) ** 2
        counted = np.where(norm == 0, layers[f"{letter}_zero_fraction"] * layers.parameters, counted)
        counted = np.where(np.isinf(norm) | (lost == 0), layers.parameters, np.rint(counted))
        kept = np.clip(counted, np.maximum(layers.parameters - lost, 1), layers.parameters)
        return np.where(np.isnan(layers[f"{letter}_mean"]), 0.0, kept)

    return lift


def _whole(letter: str) -> Lift:
    """All values of each layer, finite or not: what shares of zeros are of."""
    return lambda layers: np.where(np.isnan(layers[f"{letter}_zero_fraction"]), 0.0, layers.parameters)


def _lacking(layers: Layers) -> Array:
    """Whether some, but not all weights of a layer are finite."""
    counted = _counted("w")(layers)
    return ((counted > 0) & (counted < layers.parameters)).astype(np.float64)


def _weighted(name: str) -> Lift:
    return lambda layers: layers[name] * layers.parameters


def _moments(letter: str) -> Lift:
    def lift(layers: Layers) -> Array:
        mean, std = layers[f"{letter}_mean"], layers[f"{letter}_std"]
        count = _counted(letter)(layers)
        gone = count == 0
        return np.stack([count, np.where(gone, 0, mean), np.where(gone, 0, std**2 * count)], axis=-1)

    return lift


def _stored(name: str) -> Lift:
    return lambda layers: layers[name]


def _squared(name: str) -> Lift:
    return lambda layers: layers[name] ** 2


def _parts() -> dict[str, LevelPart]:
    parts = {
        "previous1": LevelPart(lambda layers: layers.previous(1), "sum"),
        "previous_square": LevelPart(lambda layers: layers.previous(2) ** 2, "square"),
        "update1": LevelPart(_stored("update_norm1"), "sum"),
        "update_square": LevelPart(_squared("update_norm2"), "square"),
        "dot_previous": LevelPart(
            lambda layers: np.where(
                np.isnan(layers["update_norm2"]),
                np.nan,
                np.nan_to_num(layers["update_cosine"]) * layers["w_norm2"] * layers.previous(2),
            ),
            "dot",
        ),
        "drift_square": LevelPart(_drift2, "square"),
        "init_square": LevelPart(
            lambda layers: np.where(np.isnan(layers["w_norm2"]), np.nan, layers.init_norm2**2), "square"
        ),
        "nonfinite": LevelPart(_stored("nonfinite"), "sum"),
        "lacking": LevelPart(_lacking, "sum"),
    }
    for letter in "wg":
        parts |= {
            f"{letter}_count": LevelPart(_counted(letter), "count"),
            f"{letter}_whole": LevelPart(_whole(letter), "count"),
            f"{letter}_min": LevelPart(_stored(f"{letter}_min"), "min"),
            f"{letter}_max": LevelPart(_stored(f"{letter}_max"), "max"),
            f"{letter}_moments": LevelPart(_moments(letter), "moments"),
            f"{letter}_absolute": LevelPart(_stored(f"{letter}_norm1"), "absolute"),
            f"{letter}_square": LevelPart(_squared(f"{letter}_norm2"), "square"),
            f"{letter}_zeros": LevelPart(_weighted(f"{letter}_zero_fraction"), "zeros"),
        }
    return parts


def _statistics() -> tuple[Statistic, ...]:
    rows = []
    for letter in "wg":
        moments, square = f"{letter}_moments", f"{letter}_square"
        rows += [
            Statistic(f"{letter}_min", (f"{letter}_min",), lambda low: low),
            Statistic(f"{letter}_max", (f"{letter}_max",), lambda high: high),
            Statistic(f"{letter}_mean", (moments,), lambda m: np.where(m[..., 0] > 0, m[..., 1], np.nan)),
            Statistic(f"{letter}_std", (moments,), lambda m: _root_ratio(m[..., 2], m[..., 0])),
            Statistic(f"{letter}_norm1", (f"{letter}_absolute",), lambda total: total),
            Statistic(f"{letter}_norm2", (square,), np.sqrt),
            Statistic(f"{letter}_rms", (square, f"{letter}_count"), _root_ratio),
            Statistic(f"{letter}_zero_fraction", (f"{letter}_zeros", f"{letter}_whole"), _ratio),
        ]
    return (
        *rows,
        Statistic("grad_ratio1", ("g_absolute", "w_absolute"), _ratio),
        Statistic("grad_ratio2", ("g_square", "w_square"), _root_ratio),
        Statistic("update_norm1", ("update1",), lambda total: total),
        Statistic("update_norm2", ("update_square",), np.sqrt),
        Statistic("update_ratio1", ("update1", "previous1"), _ratio),
        Statistic("update_ratio2", ("update_square", "previous_square"), _root_ratio),
        Statistic(
            "update_cosine",
            ("dot_previous", "w_square", "previous_square"),
            lambda dot, now, before: np.clip(_ratio(dot, np.sqrt(now * before)), -1, 1),
        ),
        Statistic("update_angle", ("update_square", "w_square", "previous_square"), _angle),
        Statistic(
            "rotation_from_init",
            ("drift_square", "w_square", "init_square", "lacking"),
            lambda drift, now, init, lacking: np.where(lacking > 0, np.nan, _angle(drift, now, init)),
        ),
        Statistic("nonfinite", ("nonfinite",), lambda total: total),
    )


LEVEL_PARTS: dict[str, LevelPart] = _parts()
STATISTICS: tuple[Statistic, ...] = _statistics()


def merge_layers(layers: Layers, group: npt.NDArray[np.integer], groups: int) -> dict[str, npt.NDArray[np.generic]]:
    """Statistics of the concatenated parameters of each group of layers.

    Parameters
    ----------
    layers : stored statistics, (records, layers).
    group : (layers,) number of the group that each layer belongs to, 0 … groups − 1.

    Returns
    -------
    name → (records, groups) float32; ``nonfinite`` int32. A layer whose statistic is NaN (no finite weight, no
    gradient) adds nothing; where that is so for every layer of the group, the result is NaN.

    Notes
    -----
    Accumulated in float64; mean and deviation by pairwise merge (Chan, Golub & LeVeque 1983). ``rotation_from_init``
    is NaN where some weights of a layer are not finite: how long the others were at construction is not stored.
    """
    merged = {name: _merge(part, layers, group, groups) for name, part in LEVEL_PARTS.items()}
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        out: dict[str, npt.NDArray[np.generic]] = {
            row.name: row.finalize(*(merged[part] for part in row.parts)).astype(np.float32) for row in STATISTICS
        }
        out["nonfinite"] = np.nan_to_num(merged["nonfinite"]).astype(np.int32)
    return out


def _merge(part: LevelPart, layers: Layers, group: npt.NDArray[np.integer], groups: int) -> Array:
    law = PARTS[part.law]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        pieces = np.asarray(part.lift(layers), np.float64)
        records, width = pieces.shape[0], pieces.shape[2:]
        whole = np.full((records, groups, *width), law.fill)
        found = np.zeros((records, groups), bool)
        for layer, target in enumerate(group.tolist()):
            piece = pieces[:, layer]
            there = ~np.isnan(piece if not width else piece[..., 0])
            found[:, target] |= there
            kept = np.where(there[..., None] if width else there, piece, law.fill)
            whole[:, target] = law.combine(whole[:, target], kept)
    return whole if width else np.where(found, whole, np.nan)


__all__ = ["LEVEL_PARTS", "STATISTICS", "Layers", "LevelPart", "Statistic", "merge_layers"]
