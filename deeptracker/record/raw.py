"""Raw weights and gradients of chosen layers, as rows of ``weights/<number>``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deeptracker.record.layers import Layer, weights_of

Array = np.ndarray[Any, Any]


def raw_rows(
    layers: Sequence[Layer], chosen: Sequence[int], gradients: Mapping[int, Array | None]
) -> dict[str, dict[str, Array]]:
    """Group → row of the chosen layers: ``weight`` and ``gradient``, filters × weights float32.

    The weights of a filter are in the order of the parameter's axes, so that a row can be reshaped to its kernel.
    ``gradients`` holds what was read before the optimizer's step; NaN where a layer has none, or is gone.
    """
    out = {}
    numbers = sorted(chosen, key=lambda i: layers[i].number)  # sharded weights are read in one order
    for number, rows in zip(numbers, weights_of([layers[i] for i in numbers]), strict=True):
        layer = layers[number]
        weight = layer.in_c_order(rows).copy()
        gradient = gradients.get(number)
        missing = np.full_like(weight, np.nan)
        weight = missing if layer.gone else weight
        out[f"weights/{number}"] = {
            "weight": weight,
            "gradient": missing if gradient is None else layer.in_c_order(gradient),
        }
    return out


__all__ = ["raw_rows"]
