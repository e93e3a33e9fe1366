"""Reading for the screen: which level, how much of it, and that nothing recorded is missing from it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import growing
import numpy as np
import pytest
import xarray as xr

from deeptracker import screen
from deeptracker.aggregate import build_index
from deeptracker.errors import InputError, MissingGroupError
from deeptracker.screen.kept import Kept
from deeptracker.store import LogWriter, Run, layout, open_run
from deeptracker.store.arrays import RowFiles
from deeptracker.store.spans import Span, Thinned
from deeptracker.testing import simulate

FILTERS, LAYERS = "filters/dense", "layers/dense"
PIXELS = 20


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Shards of 64 rows and chunks of 8 × 16, so that what is read along with what is wanted stays small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SHARD_ROWS", (64, 64))
        patch.setattr(layout, "INNER", (8, 16))
        patch.setattr("deeptracker.aggregate.jobs.FILE_BYTES", 1)  # files of 512 records
        patch.setattr("deeptracker.aggregate.pyramid.LEAST_BINS", 2)
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def cold() -> None:
    screen.forget()


def recorded(path: Path, iterations: int) -> Run:
    sizes: dict[str, Any] = {"model": "tiny", "images": 30, "passes": 20, "classes": 3}
    simulate(path, iterations=iterations, seed=3, anomalies=False, **sizes)
    return build_index(open_run(path))


@pytest.fixture(scope="module")
def short(small: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return recorded(tmp_path_factory.mktemp("screen") / "short", 300)


@pytest.fixture(scope="module")
def long(small: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Four times as long."""
    return recorded(tmp_path_factory.mktemp("screen") / "long", 1200)


@pytest.fixture(scope="module")
def grown(small: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Indexed after 500 records, which fill no whole bin, then 700 long."""
    path = tmp_path_factory.mktemp("screen") / "grown"
    growing.record(path, 0, 500, None)
    build_index(open_run(path))
    growing.record(path, 500, 700, None)
    return open_run(path)


class Meter:
    """Counts the bytes of the chunks that are read of arrays along time (of coordinates: nothing)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        read = RowFiles.read

        def watched(files: RowFiles, rows: Any, rest: tuple[Any, ...]) -> np.ndarray:
            whole = all(part == slice(None) for part in rest)
            chunk = files.file_shape if whole else files.described.chunks
            axes = [rows, *(slice(*part.indices(n)) for part, n in zip(rest, files.row_shape, strict=True))]
            touched = [(axis.stop - 1) // c - axis.start // c + 1 for axis, c in zip(axes, chunk, strict=True)]
            if rest:
                self.bytes += math.prod(touched) * math.prod(chunk) * files.dtype.itemsize
            return read(files, rows, rest)

        monkeypatch.setattr(RowFiles, "read", watched)

    def of(self, *arguments: Any, **options: Any) -> int:
        screen.forget()
        self.bytes = 0
        screen.read(*arguments, **options)
        return self.bytes


@pytest.mark.parametrize("zoom", [(None, None), (100, 260)], ids=["all", "zoomed"])
@pytest.mark.parametrize(
    ("group", "select"),
    [(FILTERS, None), (FILTERS, {"filter": slice(16, 32)}), (LAYERS, None)],
    ids=["all filters", "one layer", "layers"],
)
def test_read__amount_depends_on_the_screen_not_on_the_log(
    short: Run, long: Run, monkeypatch: pytest.MonkeyPatch, group: str, select: Any, zoom: Any
) -> None:
    meter = Meter(monkeypatch)
    amounts = [meter.of(run, group, ["w_rms"], *zoom, PIXELS, select=select) for run in (short, long)]
    width = 16 if select else 16 * math.ceil(short.dataset(group)["w_rms"].shape[1] / 16)
    # Four bins a pixel of three numbers each, and at both ends the rest of a file.
    bound = 3 * 4 * width * (4 * PIXELS + 2 * 64)
    assert 0 < max(amounts) <= bound
    assert amounts[1] <= 1.5 * amounts[0]


def test_read__one_layer_costs_a_part_of_the_net(long: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(monkeypatch)
    one = meter.of(long, FILTERS, ["w_rms"], pixels=PIXELS, select={"filter": slice(0, 16)})
    assert one <= meter.of(long, FILTERS, ["w_rms"], pixels=PIXELS) / 3


def test_read__a_few_passes_of_one_class_cost_the_same_in_a_long_log(
    short: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[str, Any] = {"model": "tiny", "iterations": 300, "images": 30, "classes": 3}
    simulate(tmp_path / "often", passes=200, **sizes)
    meter, amounts = Meter(monkeypatch), []
    for run in (short, open_run(tmp_path / "often")):
        at = run.dataset("validation/validation/raw")["validation"].values
        rows = {"image": slice(0, 10)}
        amounts.append(meter.of(run, "validation/validation/raw", ["correct"], at[4], at[15], select=rows))
    assert amounts[1] <= amounts[0] <= 3 * 8 * 16


def test_choose__a_wide_selection_is_read_coarser_than_a_narrow_one(long: Run) -> None:
    narrow, wide = (screen.choose(long, FILTERS, 0, 1199, 300, width=w, cells=15_000) for w in (10, 100))
    assert (narrow.size, wide.size) == (1, 64)
    assert wide.group == "index/filters_64"
    assert screen.choose(long, FILTERS, 0, 100, 300, width=100, cells=15_000).size == 1


def test_read__bins_hold_min_mean_and_max_between_their_true_iterations(long: Run) -> None:
    got = screen.read(long, FILTERS, ["g_rms"], 500, 1150, 12, select={"filter": slice(3, 9)})
    assert got.attrs["size"] == 64
    raw = long.dataset(FILTERS)["g_rms"].values[:, 3:9]
    for number, (first, last) in enumerate(zip(got["iteration"].values, got["last"].values, strict=True)):
        part = raw[first : last + 1]  # recorded at every iteration
        for row, want in zip(got["g_rms"].values[:, number], (part.min(0), part.mean(0), part.max(0)), strict=True):
            np.testing.assert_allclose(row, want, rtol=1e-5)
    assert got["iteration"].values[0] <= 500
    assert got["last"].values[-1] >= 1150


def test_read__records_after_the_index_are_binned_like_the_others(grown: Run) -> None:
    got = screen.read(grown, FILTERS, ["grad_ratio2"], pixels=60)
    assert got.attrs["size"] == 8
    assert got.attrs["level"].rest == (496, 700)  # the last bin of the index was begun, not full
    want = grown.dataset(FILTERS)["grad_ratio2"].coarsen(iteration=8, boundary="pad")
    np.testing.assert_array_equal(got["grad_ratio2"].values[0], want.min().values)
    np.testing.assert_array_equal(got["grad_ratio2"].values[2], want.max().values)
    np.testing.assert_allclose(got["grad_ratio2"].values[1], want.mean().values, rtol=1e-5)
    np.testing.assert_array_equal(got["iteration"].values, np.arange(0, 700, 8))
    np.testing.assert_array_equal(got["last"].values, np.minimum(np.arange(7, 707, 8), 699))
    jumped = got["grad_ratio2"].values[2][:, growing.JUMPS[660]]
    assert int(np.argmax(jumped)) == 660 // 8


def test_read__a_zoom_into_what_is_not_indexed_yet_has_no_bins_of_the_index(grown: Run) -> None:
    got = screen.read(grown, FILTERS, ["w_rms"], 523, 690, 20)
    assert got.attrs["size"] == 8
    assert (int(got["iteration"].values[0]), int(got["last"].values[-1])) == (523, 690)


@pytest.mark.parametrize("pixels", [2000, 60], ids=["records", "bins"])
@pytest.mark.parametrize("which", ["long", "grown"])
def test_expression__gives_the_numbers_of_the_screen(request: pytest.FixtureRequest, which: str, pixels: int) -> None:
    run = request.getfixturevalue(which)
    got = screen.read(run, FILTERS, ["update_angle"], 30, 1500, pixels, select={"filter": np.array([5, 2, 40])})
    for number, how in enumerate(got["reduction"].values):
        text = screen.expression(got, "update_angle", how)
        want = eval(text, {"run": run})
        assert isinstance(want, xr.DataArray)
        np.testing.assert_allclose(got["update_angle"].values[number], want.values, rtol=1e-5)


def test_read__nan_are_left_out_of_bins(short: Run) -> None:
    got = screen.read(short, FILTERS, ["update_angle"], pixels=PIXELS)["update_angle"]  # no update at record 0
    assert np.isnan(short.dataset(FILTERS)["update_angle"].values[0]).all()
    assert np.isfinite(got.values).all()


class Memory:
    """A run in memory, with a level of bins of 8."""

    def __init__(self, records: int) -> None:
        values = np.random.default_rng(0).normal(size=(records, 3)).astype(np.float32)
        bins = values.reshape(-1, 8, 3)
        self.groups = {
            FILTERS: xr.Dataset(
                {"w_rms": (("iteration", "filter"), values)}, coords={"iteration": np.arange(records)}
            ),
            "index/filters_8": xr.Dataset(
                {
                    "w_rms": (
                        ("iteration_bin", "reduction", "filter"),
                        np.stack([bins.min(1), bins.mean(1), bins.max(1)], axis=1),
                    ),
                    "records": ("iteration_bin", np.full(records // 8, 8)),
                },
                coords={"iteration_bin": np.arange(0, records, 8), "reduction": ["min", "mean", "max"]},
            ),
        }
        self.commit = SimpleNamespace(groups={})

    def has(self, group: str) -> bool:
        return group in self.groups

    def dataset(self, group: str) -> xr.Dataset:
        return self.groups[group]


def test_read__records_that_were_thinned_are_shown_by_their_bins() -> None:
    run = Memory(160)
    gone = SimpleNamespace(thinned=Thinned((Span(0, 64),)))
    run.commit = SimpleNamespace(groups={FILTERS: gone})
    run.groups[FILTERS]["w_rms"].values[:64] = np.nan
    assert np.isfinite(screen.read(run, FILTERS, ["w_rms"], 0, 100)["w_rms"].values).all()
    assert screen.read(run, FILTERS, ["w_rms"], 80, 159).attrs["size"] == 1


def test_read__only_the_reductions_asked_for(long: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(monkeypatch)
    part = {"filter": slice(0, 16)}
    every = meter.of(long, FILTERS, ["w_rms"], pixels=PIXELS, select=part)
    both = meter.of(long, FILTERS, ["w_rms"], pixels=PIXELS, select=part, reductions=["min", "max"])
    assert both == pytest.approx(every * 2 / 3)
    got = screen.read(long, FILTERS, ["w_rms"], pixels=PIXELS, reductions=["max"])
    np.testing.assert_array_equal(
        got["w_rms"].values[0], screen.read(long, FILTERS, ["w_rms"], pixels=PIXELS)["w_rms"][2]
    )


def test_read__of_a_run_that_was_cut_back_since_its_index_reads_records(short: Run, tmp_path: Path) -> None:
    path = Path(shutil.copytree(short.path, tmp_path / "run"))
    with LogWriter(path, background=False) as writer:
        writer.cut(250)
    got = screen.read(open_run(path), FILTERS, ["w_rms"], pixels=PIXELS)
    assert (got.attrs["size"], got.sizes["iteration"]) == (1, 250)


def test_read__a_group_or_a_variable_that_is_not_there_is_named(short: Run) -> None:
    with pytest.raises(MissingGroupError, match="weights"):
        screen.read(short, "weights/0", ["w"])
    with pytest.raises(InputError, match=r"no series 'w_rmss'; it has .*w_rms"):
        screen.read(short, FILTERS, ["w_rmss"])
    with pytest.raises(InputError, match=r"screen\.table"):
        screen.read(short, "architecture", ["stage"])


def test_read__the_same_again_reads_nothing_and_what_was_given_out_cannot_be_changed(
    short: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = screen.read(short, FILTERS, ["w_rms"], 0, 100)
    meter = Meter(monkeypatch)
    again = screen.read(open_run(short.path), FILTERS, ["w_rms"], 0, 100)
    assert meter.bytes == 0
    xr.testing.assert_identical(again.drop_attrs(), first.drop_attrs())
    with pytest.raises(ValueError, match="read-only"):
        again["w_rms"].values[0] = 1


def test_kept__stays_within_its_bound_and_lets_go_of_the_oldest() -> None:
    kept: Kept[str] = Kept(10)
    made: list[str] = []

    def get(key: str, weight: int) -> str:
        return kept.get(key, lambda: made.append(key) or key, lambda _: weight)  # type: ignore[func-returns-value]

    for key, weight in (("a", 4), ("b", 4), ("a", 4), ("c", 4), ("huge", 11)):
        assert get(key, weight) == key
    assert kept.weight == 8
    get("a", 4)
    assert made == ["a", "b", "c", "huge"]
    get("b", 4)
    assert made[-1] == "b"
