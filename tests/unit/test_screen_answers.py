"""Answers and the cube for the screen: classes keep their borders, passes after the index count."""

from __future__ import annotations

from typing import Any

import growing
import numpy as np
import pytest

from deeptracker import screen
from deeptracker.aggregate import build_index
from deeptracker.screen import answers, cube, image_rows
from deeptracker.store import Run, open_run
from deeptracker.store.arrays import RowFiles

VIEW = "validation/raw"
GROUP = f"validation/{VIEW}"


@pytest.fixture(autouse=True)
def cold() -> None:
    screen.forget()


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Indexed after eight passes, then sixteen long."""
    path = tmp_path_factory.mktemp("answers") / "grown"
    growing.record(path, 0, 400, None)
    build_index(open_run(path))
    growing.record(path, 400, 800, None)
    return open_run(path)


def test_errors__passes_after_the_index_are_counted(grown: Run) -> None:
    said = grown.dataset(GROUP)
    assert grown.dataset(f"index/{GROUP}/all").sizes["validation"] < said.sizes["validation"]
    classes = answers.classes_of(grown, VIEW)
    passes, share = answers.error_by_class(grown, VIEW, classes)
    np.testing.assert_array_equal(passes, said["validation"].values)
    target = grown.dataset("images/validation")["target"].values
    for index in range(3):
        want = 1 - said["correct"].values[:, target == index].mean(axis=1)
        np.testing.assert_allclose(share[:, index], want, atol=1e-6)
    whole = answers.error_over_time(grown)
    assert whole is not None
    np.testing.assert_allclose(whole[1], 1 - said["correct"].values.mean(axis=1), atol=1e-6)


def test_classes__members_are_their_images_from_the_most_often_right_on(analysed: Run) -> None:
    classes = answers.classes_of(analysed, VIEW)
    target = analysed.dataset("images/validation")["target"].values
    right = analysed.dataset(GROUP)["correct"].values.mean(axis=0)
    for index in range(3):
        rows = classes.members(index)
        assert sorted(rows) == np.flatnonzero(target == index).tolist()
        assert (np.diff(right[rows]) <= 1e-6).all() or (np.diff(right[rows]) >= -1e-6).all()


def test_images_of__are_in_the_order_asked_for(analysed: Run) -> None:
    rows = answers.classes_of(analysed, VIEW).members(1)[::-1]
    got = answers.images_of(analysed, VIEW, rows)
    said = analysed.dataset(GROUP)
    np.testing.assert_array_equal(got["predicted"].values, said["predicted"].values[:, rows])
    np.testing.assert_array_equal(got["image"].values, said["image"].values[rows])


def test_image_rows__hold_images_of_one_class_and_all_of_them(analysed: Run) -> None:
    classes = answers.classes_of(analysed, VIEW)
    got = image_rows.image_rows(analysed, VIEW, classes, 9)
    assert got.attrs["by"] == "image"
    assert got.sizes["row"] == 9
    correct, begun = analysed.dataset(GROUP)["correct"].values, 0
    for row in range(9):
        images = classes.rows[begun : begun + int(got["images"][row])]
        begun += len(images)
        assert set(classes.target[images]) == {int(got["class_index"][row])}
        np.testing.assert_allclose(got["wrong"].values[:, row], 1 - correct[:, images].mean(axis=1), atol=1e-6)
    assert begun == len(classes.rows)


def test_image_rows__of_more_answers_than_can_be_read_are_classes(
    analysed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_rows, "MOST_ANSWERS", 1000)
    classes = answers.classes_of(analysed, VIEW)
    got = image_rows.image_rows(analysed, VIEW, classes, 9)
    assert (got.attrs["by"], got["images"].values.tolist()) == ("class", [20, 20, 20])
    np.testing.assert_allclose(got["wrong"].values, answers.error_by_class(analysed, VIEW, classes)[1], atol=1e-6)
    few = analysed.dataset(GROUP)["validation"].values[[3, 12]]
    assert image_rows.image_rows(analysed, VIEW, classes, 9, *few).attrs["by"] == "image"  # a zoom shows images again


def test_image_rows__with_room_for_a_row_a_class_are_counted_without_reading_an_answer(
    analysed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes, read, touched = answers.classes_of(analysed, VIEW), RowFiles.read, set()

    def noted(files: RowFiles, rows: Any, rest: Any) -> Any:
        touched.add(files.folder.parent.name + "/" + files.folder.name)
        return read(files, rows, rest)

    monkeypatch.setattr(RowFiles, "read", noted)
    at = analysed.dataset(GROUP)["validation"].values
    got = image_rows.image_rows(analysed, VIEW, classes, 3, at[5], at[20])
    assert "classes/accuracy" in touched
    assert "raw/correct" not in touched
    monkeypatch.undo()
    target, correct = classes.target, analysed.dataset(GROUP)["correct"].values[5:21]
    np.testing.assert_array_equal(got["validation"].values, at[5:21])
    for row, index in enumerate(got["class_index"].values):
        np.testing.assert_allclose(
            got["wrong"].values[:, row], 1 - correct[:, target == index].mean(axis=1), atol=1e-6
        )


@pytest.fixture(scope="module")
def binned(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Indexed after twenty passes, in bins of eight, then thirty-two long."""
    path = tmp_path_factory.mktemp("answers") / "binned"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deeptracker.aggregate.pyramid.LEAST_BINS", 2)
        growing.record(path, 0, 1000, None)
        build_index(open_run(path))
        growing.record(path, 1000, growing.ITERATIONS, None)
    return open_run(path)


def test_index__bins_of_passes_are_least_mean_and_most_of_each_class(binned: Run) -> None:
    bins, each = (binned.dataset(f"index/{GROUP}/{name}") for name in ("classes_8", "classes"))
    assert bins["records"].values.tolist() == [8, 8, 4]
    for number, (first, last) in enumerate(zip(bins["validation_bin"].values, bins["last"].values, strict=True)):
        part = each["accuracy"].sel(validation=slice(first, last)).values
        wanted = np.stack([part.min(axis=0), part.mean(axis=0), part.max(axis=0)])
        np.testing.assert_allclose(bins["accuracy"].values[number], wanted, rtol=1e-6)


@pytest.mark.parametrize("zoom", [(None, None), (300, 1300), (1100, 1400)], ids=["all", "zoomed", "after the index"])
def test_image_rows__of_more_passes_than_pixels_are_the_mean_over_bins_of_them(
    binned: Run, zoom: tuple[float | None, float | None]
) -> None:
    classes = answers.classes_of(binned, VIEW)
    got = image_rows.image_rows(binned, VIEW, classes, 3, *zoom, pixels=1)
    said = binned.dataset(GROUP)
    at, correct = said["validation"].values, said["correct"].values
    starts = np.searchsorted(at, got["validation"].values)
    first = 0 if zoom[0] is None else np.searchsorted(at, zoom[0], side="right") - 1
    stop = len(at) if zoom[1] is None else np.searchsorted(at, zoom[1], side="right")
    assert got.attrs["size"] == (1 if zoom[0] == 1100 else 8)
    assert starts[0] <= first
    assert np.diff(starts).max() <= 8
    for row, (begin, end) in enumerate(zip(starts, np.append(starts[1:], stop), strict=True)):
        for column, index in enumerate(got["class_index"].values):
            share = 1 - correct[begin:end, classes.target == index].mean()
            np.testing.assert_allclose(got["wrong"].values[row, column], share, atol=1e-6)


def test_image_rows__of_few_passes_show_each_of_them(binned: Run) -> None:
    at = binned.dataset(GROUP)["validation"].values
    got = image_rows.image_rows(binned, VIEW, answers.classes_of(binned, VIEW), 3, at[3], at[6], pixels=1)
    assert got["validation"].values.tolist() == at[3:7].tolist()
    assert got.attrs["size"] == 1


def test_errors__of_bins_keep_the_worst_pass_of_each_class(binned: Run) -> None:
    classes = answers.classes_of(binned, VIEW)
    passes, share = answers.error_by_class(binned, VIEW, classes, pixels=1)
    said = binned.dataset(GROUP)
    correct, starts = said["correct"].values, np.searchsorted(said["validation"].values, passes)
    assert len(passes) < len(correct)
    for row, (begin, end) in enumerate(zip(starts, np.append(starts[1:], len(correct)), strict=True)):
        worst = [1 - correct[begin:end, classes.target == c].mean(axis=1).min() for c in range(3)]
        np.testing.assert_allclose(share[row], worst, atol=1e-6)


def test_rule_counts__of_a_table_too_large_to_read_are_those_of_the_cells_that_the_cube_marks(
    analysed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = np.full(3, 3)
    whole = cube.rule_counts(analysed, VIEW, 2, least, 400)
    assert whole.sizes["mark"] > 0
    assert whole.attrs["k"] == 2
    table = analysed.dataset(f"anomalies/{GROUP}/classes")
    for mark in range(whole.sizes["mark"]):
        one = whole.isel(mark=mark)
        cell = table[str(one["side"].values)].sel(
            validation=int(one["iteration"]), k=2, direction=str(one["direction"].values)
        )
        assert int(cell.isel({"class": int(one["class_index"])})) == int(one["images"]) >= 3
    monkeypatch.setattr(cube, "CELLS", 0)
    part = cube.rule_counts(analysed, VIEW, 2, least, 400)
    marked = analysed.dataset(f"correlation/{GROUP}/passes")["abnormal"].transpose("validation", "class").values > 0
    assert marked.any()

    def cells(marks: object) -> set[tuple[int, int, str, str]]:
        names = ("iteration", "class_index", "side", "direction")
        return set(zip(*(marks[name].values.tolist() for name in names), strict=True))  # type: ignore[index]

    at = table["validation"].values.tolist()
    assert cells(part) == {cell for cell in cells(whole) if marked[at.index(cell[0]), cell[1]]}


def test_faces__between_two_iterations_are_those_of_the_whole_there(analysed: Run) -> None:
    whole = cube.faces(analysed, VIEW)
    first, last = whole.passes[5], whole.passes[30]
    part = cube.faces(analysed, VIEW, first, last)
    np.testing.assert_array_equal(part.passes, whole.passes[5:31])
    np.testing.assert_array_equal(part.front["filters"].values, whole.front["filters"].values[5:31])
    inside = (whole.top["place"].values >= 5) & (whole.top["place"].values <= 30)
    np.testing.assert_array_equal(part.top["place"].values + 5, whole.top["place"].values[inside])
    np.testing.assert_array_equal(part.top["count"].values, whole.top["count"].values[inside])
    marked = analysed.dataset(f"correlation/{GROUP}/passes")["abnormal"].transpose("validation", "class").values > 0
    np.testing.assert_array_equal(part.abnormal_passes, marked[5:31].sum(axis=0))
    cells = set(zip(*np.nonzero(marked[5:31]), strict=True))
    assert set(zip(part.top["place"].values, part.top["class_index"].values, strict=True)) <= cells


def test_faces__of_too_many_cells_keep_the_largest(analysed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cube.faces(analysed, VIEW).top
    monkeypatch.setattr(cube, "MOST_CELLS", 2)
    few = cube.faces(analysed, VIEW).top
    assert few.attrs["left_out"] == whole.sizes["cell"] - 2 > 0
    assert sorted(few["count"].values) == sorted(whole["count"].values)[-2:]


def test_expressions__of_the_answers_are_the_stored_numbers(analysed: Run) -> None:
    got = screen.read(analysed, f"index/{GROUP}/classes", ["accuracy"])
    want = eval(screen.expression(got, "accuracy"), {"run": analysed})
    np.testing.assert_array_equal(got["accuracy"].values[0], want.values)
