"""Claims of reading CSV: a text stays what the file says, and no cell counts for a column that is not its own."""

import numpy as np
import pytest

from deeptracker.errors import InputError
from deeptracker.ingest.passes import read_passes
from deeptracker.ingest.tables import kind_of, read_table
from deeptracker.recording import ingest_run
from deeptracker.store import open_run

ANSWERS = "iteration,image,predicted,target"


def read(tmp_path, *lines, header=ANSWERS, name="a.csv"):
    (tmp_path / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return read_passes(tmp_path / name)


def test_names__that_pandas_takes_for_missing_stay_names_and_that_is_said(tmp_path):
    found = read(tmp_path, "0,NA,cat,None", "0,null,None,None", "0,nan,,cat")
    assert found.classes == ["None", "cat"]
    assert dict(zip(found.ids.tolist(), found.target.tolist(), strict=True)) == {"NA": 0, "null": 0, "nan": 1}
    assert found.passes[0].predicted[found.ids.tolist().index("nan")] == -1
    assert found.notes == ["a.csv: 'None' was read as the name of a class, not as a missing answer"]


def test_class_names__of_digits_keep_their_zeros(tmp_path):
    found = read(tmp_path, "0,a,01,01", "0,b,007,01")
    assert found.classes == ["007", "01"]
    assert found.passes[0].predicted.tolist() == [1, 0]
    assert found.target.tolist() == [1, 1]


def test_class_names__digits_among_letters_are_names(tmp_path):
    found = read(tmp_path, "0,a,1,1", "0,b,2,z", "0,c,2,2")
    assert found.classes == ["1", "2", "z"]
    assert found.passes[0].correct.tolist() == [1, 0, 1]


def test_class_numbers__are_those_written_as_numbers_also_beside_empty_cells(tmp_path):
    found = read(tmp_path, "0,a,7.0,7", "0,b,,10", "0,c,nan,0")
    assert found.passes[0].predicted.tolist() == [7, -1, -1]
    assert found.target.tolist() == [7, 10, 0]
    assert found.classes == [str(number) for number in range(11)]


def test_ids__01_and_1_are_two_images_and_whole_numbers_stay_numbers(tmp_path):
    assert read(tmp_path, "0,01,1,1", "0,1,0,1").ids.tolist() == ["01", "1"]
    assert read(tmp_path, "0,10,1,1", "0,9,0,1").ids.tolist() == [9, 10]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["0,a,01,1", "0,b,1,01"], "classes '01' and '1' are the same number"),
        (["0,a,1,cat", "0,b,0,dog"], r"target are names \(such as cat\), but predicted are numbers"),
        (["0,a,0.5,1"], r"predicted 0\.5 is no whole number"),
        (["0,a,1,1", "0,,1,1"], "1 answers are of no image"),
        (["0,a,1,1,7"], "line 2 has 5 cells, but the header has 4"),
        (["0,a,1,1", "", '0,"b\nb",1,1', "5,a,1,1,"], "line 6 has 5 cells, but the header has 4"),
        (["0,a,1,1", "0,b,1"], "line 3 has 3 cells, but the header has 4"),
    ],
)
def test_rows__whose_meaning_is_open_are_refused_by_name(tmp_path, rows, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, *rows)


def test_names_and_numbers__mixed_in_one_column_of_other_files_are_refused(tmp_path):
    rows = '{"step":0,"id":1,"pred":"cat","label":"cat"}\n{"step":0,"id":2,"pred":3,"label":"cat"}\n'
    (tmp_path / "a.jsonl").write_text(rows)
    with pytest.raises(InputError, match="predicted has names, and 3, which is none"):
        read_passes(tmp_path / "a.jsonl")


def test_scalars__in_columns_named_as_those_of_answers_are_numbers_and_words_for_none_are_missing(tmp_path):
    (tmp_path / "a.csv").write_text("step,y,index,loss\n0,1e-3,01,NA\n1,None,2,0.5\n")
    found = read_table(tmp_path / "a.csv")
    np.testing.assert_array_equal(found["y"], [1e-3, np.nan])
    assert found["index"].tolist() == [1, 2]
    np.testing.assert_array_equal(found["loss"], [np.nan, 0.5])


def test_files__that_spreadsheets_write_have_a_first_column_like_others(tmp_path):
    (tmp_path / "a.csv").write_text(f"{ANSWERS}\n0,a,1,1\n", encoding="utf-8-sig")
    assert kind_of(tmp_path / "a.csv") == "answers"
    assert read_passes(tmp_path / "a.csv").iterations == [0]


@pytest.mark.parametrize(("other", "sets"), [("eel", 2), ("cat", 1)])
def test_passes__of_two_files_are_of_one_set_where_a_class_has_one_number_in_both(tmp_path, other, sets):
    source = tmp_path / "source"
    source.mkdir()
    for name, iteration, predicted in (("a.csv", 0, other), ("b.csv", 5, "dog")):
        read(source, f"{iteration},1,bee,bee", f"{iteration},2,{predicted},cat", name=name)
    ingest_run(source, tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert len(run.validation_sets) == sets
    seen = set()
    for view in run.validation_sets:
        names = run.dataset(f"images/{view.partition('/')[0]}")["class"].values
        seen |= {str(names[number]) for number in run.dataset(f"validation/{view}")["predicted"].values.flat}
    assert seen == {"bee", "dog", other}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["-1,a,1,1"], r"iteration -1\.0 is no whole number"),
        (["2147483647,a,1,1"] * 2, "an image appears twice at iteration 2147483647: drop one"),
    ],
)
def test_iterations__are_told_as_they_are_written(tmp_path, rows, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, *rows)


def test_ingest__into_no_path_at_all_names_the_folder_that_it_means(tmp_path):
    (tmp_path / "a.csv").write_text(f"{ANSWERS}\n0,a,1,1\n")
    with pytest.raises(InputError, match=r"^\. exists already: ingest to another path"):
        ingest_run(tmp_path / "a.csv", "")
