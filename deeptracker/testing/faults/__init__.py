"""Faults to plant in a training: fifteen kinds, three more that no rule names, and their controls."""

from __future__ import annotations

from deeptracker.errors import InputError
from deeptracker.testing.faults.data import (
    BadBatch,
    ClassSorted,
    ClassWithheld,
    Duplicates,
    InputShift,
    LabelFlip,
    ValidationImages,
)
from deeptracker.testing.faults.fault import Fault, Ground, Truth
from deeptracker.testing.faults.layers import DeadFilters, Decay, FrozenLayer, Normalisation, WeightNoise
from deeptracker.testing.faults.steps import (
    MomentumReset,
    NonFinite,
    RateDrop,
    RateSpike,
    StaleGradients,
    StateLost,
    Underflow,
)

# A kind's number seeds its draws: new ones go to the end.
_KINDS: tuple[type[Fault], ...] = (
    DeadFilters, BadBatch, LabelFlip, RateSpike, Fault, FrozenLayer, NonFinite, Decay, Normalisation, Duplicates,
    ClassWithheld, ClassSorted, MomentumReset, RateDrop, Underflow, ValidationImages, StateLost, InputShift,
    WeightNoise, StaleGradients,
)  # fmt: skip

FAULTS = tuple(kind.kind for kind in _KINDS)
UNNAMED = (InputShift.kind, WeightNoise.kind, StaleGradients.kind)
"""For which no rule has a name: right is when, where, and ``unknown``."""


def plant(kind: str, seed: int, window: tuple[int, int], ground: Ground) -> Fault:
    """One fault, to be asked at every step of a training.

    Parameters
    ----------
    kind : one of ``FAULTS``; ``none`` is none.
    seed : seeds time, place and strength.
    window : the first faulty step is drawn from [window[0], window[1]).
    ground : of the training.
    """
    if kind not in FAULTS:
        raise InputError(f"fault {kind!r} is unknown: choose one of {', '.join(FAULTS)}")
    number = FAULTS.index(kind)
    return _KINDS[number](seed, window, ground, number)


def control(fault: Fault, window: tuple[int, int]) -> Fault | None:
    """What a training does on purpose where this fault is planted: the drop alone, for a reset at a drop; else None.

    ``window`` is that of the fault; both have the same step and strength.
    """
    if not isinstance(fault, MomentumReset):
        return None
    return RateDrop(fault.truth.seed, window, fault.ground, FAULTS.index(fault.kind))


__all__ = ["FAULTS", "UNNAMED", "Fault", "Ground", "Truth", "control", "plant"]
