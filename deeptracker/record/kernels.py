"""Triton kernels of the standard set: all filters of a net in one launch, however many layers they belong to.

Rows are cut into segments of ``BLOCK`` weights. A program of one warp reads one segment through a table of addresses,
one for each layer, and leaves a row of float64 partial results; ``combine`` joins the segments of each filter in
their order. No atomics: the same bits every time. What the columns mean is in ``statistics.accumulate``: here, too,
extremes, sums and counts are of what is finite, and changes are over the weights that are finite on both sides.

Products of float32 are exact in float64, and sums of them are what the angle needs; the bandwidth of the memory
remains the limit, also where float64 is slow.
"""

from __future__ import annotations

import triton
import triton.language as tl

BLOCK = 512  # weights of a segment; with twice as many a thread runs out of registers
ROWS = 16  # filters that one program of ``combine`` joins
COLUMNS = 23  # of WEIGHT, then of GRADIENT; the place of each is written out below
GRADIENTS = 15  # the first column of GRADIENT
WIDTH = 32  # the power of two above COLUMNS, for ``combine``


@triton.jit
def _read(address, kind, at, mask):
    """Values as float32. ``kind``: 0 = float32, 1 = float16, 2 = bfloat16."""
    if kind == 0:
        values = tl.load(address.to(tl.pointer_type(tl.float32)) + at, mask=mask, other=0.0)
    elif kind == 1:
        values = tl.load(address.to(tl.pointer_type(tl.float16)) + at, mask=mask, other=0.0).to(tl.float32)
    else:
        values = tl.load(address.to(tl.pointer_type(tl.bfloat16)) + at, mask=mask, other=0.0).to(tl.float32)
    return values


@triton.jit
def _finite(values):
    """Whether neither NaN nor infinite; bits, since comparisons with NaN are what compilers are free with."""
    return (values.to(tl.int32, bitcast=True) & 0x7FFFFFFF) < 0x7F800000


@triton.jit
def _moments(out, values, mask, length, factor):
    """Columns ``MOMENTS`` of values × ``factor``."""
    finite = mask & _finite(values)
    v = tl.where(finite, values, 0.0).to(tl.float64) * factor
    count = tl.sum(finite.to(tl.int32), axis=0)
    tl.store(out, count.to(tl.float64))
    tl.store(out + 1, tl.sum(v, axis=0))
    tl.store(out + 2, tl.sum(tl.abs(v), axis=0))
    tl.store(out + 3, tl.sum(v * v, axis=0))
    tl.store(out + 4, tl.min(tl.where(finite, values, float("inf")), axis=0).to(tl.float64) * factor)
    tl.store(out + 5, tl.max(tl.where(finite, values, float("-inf")), axis=0).to(tl.float64) * factor)
    tl.store(out + 6, tl.sum((mask & (values == 0.0)).to(tl.int32), axis=0).to(tl.float64))
    tl.store(out + 7, (length - count).to(tl.float64))


@triton.jit
def read_gradients(
    places, layers, starts, lengths, partials, scale,
    BLOCK: tl.constexpr, COLUMNS: tl.constexpr, FIRST: tl.constexpr,
):  # fmt: skip
    """Partial results of gradients, divided by ``scale``; a layer at address 0 is left alone."""
    segment = tl.program_id(0).to(tl.int64)
    layer = tl.load(layers + segment)
    address = tl.load(places + 2 * layer)
    if address != 0:
        length = tl.load(lengths + segment)
        column = tl.arange(0, BLOCK)
        mask = column < length
        g = _read(address, tl.load(places + 2 * layer + 1), tl.load(starts + segment) + column, mask)
        _moments(partials + segment * COLUMNS + FIRST, g, mask, length, 1.0 / tl.load(scale))


@triton.jit
def read_weights(
    places, layers, starts, lengths, partials, bases, previous, initial,
    BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Partial results of weights and their changes; leaves them in ``previous``.

    ``previous`` and ``initial`` are float32, all layers one after another; a layer's begins at its ``bases``.
    """
    segment = tl.program_id(0).to(tl.int64)
    layer = tl.load(layers + segment)
    address = tl.load(places + 2 * layer)
    if address != 0:
        start, length = tl.load(starts + segment), tl.load(lengths + segment)
        column = tl.arange(0, BLOCK)
        mask = column < length
        ours = tl.load(bases + layer) + start + column
        now = _read(address, tl.load(places + 2 * layer + 1), start + column, mask)
        before = tl.load(previous + ours, mask=mask, other=0.0)
        begun = tl.load(initial + ours, mask=mask, other=0.0)
        tl.store(previous + ours, now, mask=mask)
        out = partials + segment * COLUMNS
        _moments(out, now, mask, length, tl.full((), 1.0, tl.float64))
        finite = mask & _finite(now)
        both = finite & _finite(before)
        w, p = tl.where(both, now, 0.0).to(tl.float64), tl.where(both, before, 0.0).to(tl.float64)
        update = w - p
        tl.store(out + 8, tl.sum(tl.abs(p), axis=0))
        tl.store(out + 9, tl.sum(p * p, axis=0))
        tl.store(out + 10, tl.sum(tl.abs(update), axis=0))
        tl.store(out + 11, tl.sum(update * update, axis=0))
        tl.store(out + 12, tl.sum(w * p, axis=0))
        both = finite & _finite(begun)
        w, z = tl.where(both, now, 0.0).to(tl.float64), tl.where(both, begun, 0.0).to(tl.float64)
        drift = w - z
        tl.store(out + 13, tl.sum(z * z, axis=0))
        tl.store(out + 14, tl.sum(drift * drift, axis=0))


@triton.jit
def combine(
    partials, firsts, counts, table, filters,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FIRST: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Rows of ``table`` (filters × ``COLUMNS``) from the segments of each filter; NaN for extremes of nothing."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    inside = (row < filters)[:, None] & (column < COLUMNS)[None, :]
    first = tl.load(firsts + row, mask=row < filters, other=0)
    count = tl.load(counts + row, mask=row < filters, other=0)
    lowest = ((column == 4) | (column == FIRST + 4))[None, :] & inside
    highest = ((column == 5) | (column == FIRST + 5))[None, :] & inside
    joined = tl.where(lowest, float("inf"), tl.where(highest, float("-inf"), 0.0)).to(tl.float64)
    for k in range(tl.max(count, axis=0)):
        mask = inside & (k < count)[:, None]
        part = tl.load(partials + (first + k)[:, None] * COLUMNS + column[None, :], mask=mask, other=0.0)
        lower, higher = tl.where(part < joined, part, joined), tl.where(part > joined, part, joined)
        new = tl.where(lowest, lower, tl.where(highest, higher, joined + part))
        joined = tl.where(mask, new, joined)
    nothing = (lowest & (joined == float("inf"))) | (highest & (joined == float("-inf")))
    joined = tl.where(nothing, float("nan"), joined)
    tl.store(table + row[:, None] * COLUMNS + column[None, :], joined, mask=inside)


__all__ = ["BLOCK", "COLUMNS", "GRADIENTS", "ROWS", "WIDTH", "combine", "read_gradients", "read_weights"]
