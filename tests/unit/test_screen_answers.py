"""Answers and the cube for the screen: classes keep their borders, passes after the index count."""

from __future__ import annotations

import growing
import numpy as np
import pytest

from deeptracker import screen
from deeptracker.aggregate import build_index
from deeptracker.screen import answers, cube, image_rows
from deeptracker.store import Run, open_run

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
