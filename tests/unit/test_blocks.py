"""Blocks of whole layers: which filters they hold, what each filter is compared with, and what is read for it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from deeptracker.detect import blocks
from deeptracker.detect.blocks import Block
from deeptracker.detect.carried import LOOKS_BACK


def net(*layers: tuple[str, int, int, str]) -> xr.Dataset:
    """(block, filters, parameter group, nonlinearity) of each layer."""
    block, sizes, group, activation = zip(*layers, strict=True)
    first = np.cumsum([0, *sizes[:-1]])
    return xr.Dataset(
        {
            "block": ("layer", np.array(block, object)),
            "first_filter": ("layer", first.astype(np.int32)),
            "filters": ("layer", np.array(sizes, np.int32)),
            "lr_group": ("layer", np.array(group, np.int32)),
            "activation": ("layer", np.array(activation, object)),
        }
    )


NET = net(("a", 9, 0, "ReLU"), ("b", 4, 1, "Tanh"), ("b", 8, -1, "ReLU"), ("b", 7, 2, ""), ("c", 3, 0, "Sigmoid"))


def test_block__a_layer_under_eight_filters_moves_with_the_first_layer_of_its_block() -> None:
    assert Block(NET, slice(0, 5)).common_of.tolist() == [0, 1, 2, 1, 4]
    assert Block(NET, slice(2, 4)).common_of.tolist() == [0, 0]  # as far as the block is here


def test_block__knows_the_filters_the_rates_and_the_nonlinearities_of_its_own_layers() -> None:
    part = Block(NET, slice(1, 4))
    assert part.filters == slice(9, 28)
    assert part.layer.tolist() == [0] * 4 + [1] * 8 + [2] * 7
    assert part.rate.tolist() == [1] * 4 + [0] * 8 + [2] * 7  # a layer without an optimizer goes with the first group
    assert part.activation == ["Tanh", "ReLU", ""]


def test_blocks__hold_every_layer_once_and_cut_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_FILTERS", 13)
    assert [part.layers for part in blocks.blocks(NET)] == [slice(0, 2), slice(2, 3), slice(3, 5)]
    monkeypatch.setattr(blocks, "BLOCK_FILTERS", 1)
    assert [part.layers for part in blocks.blocks(NET)] == [slice(n, n + 1) for n in range(5)]


def test_spans__follow_one_another_and_read_what_their_scores_look_back_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "WINDOW_RECORDS", 500)
    assert list(blocks.spans(1300, 64)) == [
        (0, 0, 512), (512 - LOOKS_BACK, 512, 1024), (1024 - LOOKS_BACK, 1024, 1300)
    ]  # fmt: skip
    assert list(blocks.spans(512, 64)) == [(0, 0, 512)]
