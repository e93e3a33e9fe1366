"""Claims of ingesting tables: the same answers from every kind of file, and clear words where they do not fit."""

import json

import numpy as np
import pandas as pd
import pytest

from deeptracker.analysis import analyze
from deeptracker.errors import InputError
from deeptracker.recording import ingest_run
from deeptracker.store import open_run

PASSES, IMAGES, CLASSES = 6, 20, 3


@pytest.fixture
def logits():
    return np.random.default_rng(5).normal(size=(PASSES, IMAGES, CLASSES)).round(3)


@pytest.fixture
def target():
    return np.random.default_rng(6).integers(0, CLASSES, IMAGES)


def rows(logits, target, **names):
    table = [
        {
            "step": 100 * p, "id": f"i{i:02}", "logits": logits[p, i].tolist(), "label": int(target[i]),
            "pred": int(logits[p, i].argmax()),
        }
        for p in range(PASSES)
        for i in range(IMAGES)
    ]  # fmt: skip
    return pd.DataFrame(table).rename(columns=names)


def save(table, path):
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.drop(columns="logits", errors="ignore").to_csv(path, index=False)
    return path


def answers(path, run):
    done = ingest_run(path, run)
    opened = open_run(run)
    return done, opened, opened.dataset("validation/validation/raw").load()


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv", "npz"])
def test_answers__are_the_same_from_every_kind_of_file(tmp_path, logits, target, suffix):
    path = tmp_path / f"answers.{suffix}"
    if suffix == "npz":
        ids = np.array([f"i{i:02}" for i in range(IMAGES)])
        np.savez(path, logits=logits, labels=target, step=100 * np.arange(PASSES), id=ids)
    else:
        save(rows(logits, target), path)
    _, run, found = answers(path, tmp_path / "run")
    order = np.argsort(target, kind="stable")  # images lie sorted by class
    assert found["validation"].values.tolist() == [100 * p for p in range(PASSES)]
    assert found["image"].values.tolist() == [f"i{i:02}" for i in order]
    np.testing.assert_array_equal(found["predicted"], logits.argmax(2)[:, order])
    np.testing.assert_array_equal(found["correct"], (logits.argmax(2) == target)[:, order])
    if suffix != "csv":  # a column of lists has no place there
        loss = np.log(np.exp(logits).sum(2)) - logits[:, np.arange(IMAGES), target]
        np.testing.assert_allclose(found["loss"], loss[:, order], atol=5e-3)
    assert run.dataset("images/validation")["target"].values.tolist() == target[order].tolist()


def test_probabilities_and_confidence__give_the_loss(tmp_path, logits, target):
    shares = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    order = np.argsort(target, kind="stable")
    chosen = shares[:, np.arange(IMAGES), target]
    np.savez(tmp_path / "p.npz", probabilities=shares, labels=target)
    np.savez(tmp_path / "c.npz", predicted=logits.argmax(2), confidence=chosen, labels=target)
    for name in "pc":
        _, _, found = answers(tmp_path / f"{name}.npz", tmp_path / f"run_{name}")
        np.testing.assert_allclose(found["loss"], -np.log(chosen)[:, order], atol=5e-3)


def test_forgetting__counts_right_then_wrong_of_each_image(tmp_path, logits, target):
    np.savez(tmp_path / "a.npz", logits=logits, labels=target)
    _, run, _ = answers(tmp_path / "a.npz", tmp_path / "run")
    history = analyze(run, stages=["index"]).dataset("index/validation/validation/raw/images").load()
    right = (logits.argmax(2) == target)[:, history["image"].values.astype(int)]
    forgotten = (right[:-1] & ~right[1:]).sum(0)
    np.testing.assert_array_equal(history["forgetting_events"], forgotten)
    np.testing.assert_array_equal(history["unforgettable"], (forgotten == 0) & right.any(0))
    np.testing.assert_array_equal(history["first_learned"] < 0, ~right.any(0))


def test_class_names__become_numbers_in_alphabetical_order(tmp_path, logits, target):
    names = np.array(["cat", "ant", "bee"])
    table = rows(logits, target).drop(columns="logits")
    table = table.assign(label=names[table["label"]], pred=names[table["pred"]])
    _, run, found = answers(save(table, tmp_path / "a.csv"), tmp_path / "run")
    images = run.dataset("images/validation").load()
    assert images["class"].values.tolist() == ["ant", "bee", "cat"]
    by_id = dict(zip(images["image"].values.tolist(), images["target"].values.tolist(), strict=True))
    assert [by_id[f"i{i:02}"] for i in range(IMAGES)] == [sorted(names).index(names[t]) for t in target]
    assert float(found["correct"].mean()) == pytest.approx((logits.argmax(2) == target).mean())


def test_images_without_an_answer_at_a_pass__are_not_evaluated(tmp_path, logits, target):
    table = rows(logits, target)
    kept = table[~((table["id"] == "i03") & (table["step"] == 200))]
    _, _, found = answers(save(kept, tmp_path / "a.jsonl"), tmp_path / "run")
    one = found.sel(image="i03", validation=200)
    assert (int(one["predicted"]), int(one["correct"])) == (-1, -1)
    assert np.isnan(one["loss"])
    assert int((found["correct"] < 0).sum()) == 1


def test_ties__between_classes_are_counted_and_said(tmp_path, logits, target):
    logits[2, 4] = [1.5, 1.5, 0]
    np.savez(tmp_path / "a.npz", logits=logits, labels=target)
    done, _, found = answers(tmp_path / "a.npz", tmp_path / "run")
    assert any("in 1 answers two classes have the largest score" in note for note in done.notes)
    assert int(found["predicted"].sel(image=4).values[2]) == 0


def test_epochs_of_a_table__are_multiplied_by_the_steps_of_one(tmp_path, logits, target):
    save(rows(logits, target, step="epoch").assign(epoch=lambda t: t["epoch"] // 100), tmp_path / "a.jsonl")
    ingest_run(tmp_path / "a.jsonl", tmp_path / "run", steps_per_epoch=40)
    passes = open_run(tmp_path / "run").dataset("validation/validation/raw")["validation"].values
    assert passes.tolist() == [40 * p for p in range(PASSES)]


def test_scalars__of_a_table_keep_their_names_and_loss_and_rate_are_found(tmp_path):
    lines = [{"step": s, "train_loss": 1 / (s + 1), "lr": 0.1, "val_acc": s / 9, "note": "x"} for s in range(5)]
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    done = ingest_run(tmp_path / "log.jsonl", tmp_path / "run")
    scalars = open_run(tmp_path / "run").dataset("scalars").load()
    np.testing.assert_allclose(scalars["loss"], [1 / (s + 1) for s in range(5)])
    assert scalars["learning_rate"].values[:, 0].tolist() == [0.1] * 5
    assert scalars["val_acc"].values.tolist() == [s / 9 for s in range(5)]
    assert ("log.jsonl: note", "not a column of numbers") in done.left_out


def test_scalars__of_an_iteration_that_comes_twice_or_of_none_are_said(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss,acc\n0,1,7\n0,2,\n,3,3\n5,4,8\n")
    done = ingest_run(tmp_path / "log.csv", tmp_path / "run")
    assert open_run(tmp_path / "run").dataset("scalars")["loss"].values.tolist() == [2, 4]
    assert "log.csv: 1 scalars were there for their iteration already: the later value counts" in done.notes
    assert ("log.csv: 1 rows", "no step in them") in done.left_out


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"logits": np.zeros((2, 5, 3)), "labels": np.zeros(4, int)}, "target has shape"),
        ({"logits": np.zeros((2, 5)), "labels": np.array(list("abcde"))}, "scores go by number"),
        ({"predicted": np.zeros((2, 5)), "labels": np.full(5, 0.5)}, "one class number an image"),
        ({"predicted": np.zeros((2, 5)), "step": np.array([3, 3])}, "1 different iterations for 2 passes"),
        ({"predicted": np.zeros((2, 5)), "id": np.zeros(5)}, "one id an image"),
        ({"predicted": np.zeros((1, 5)), "step": np.array(["x"])}, "iteration must be numbers"),
        ({"predicted": np.full((1, 5), 1 + 5j)}, "predicted must be real numbers"),
        ({"predicted": np.zeros((1, 5)), "step": np.array(["2026-01-01"], "M8[D]")}, "iteration must be real"),
        ({"predicted": np.full((1, 5), 7), "labels": np.zeros(5, int), "classes": np.array(["a"])}, "1 names for 8"),
    ],
)
def test_arrays__that_do_not_fit_are_named(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=words):
        ingest_run(tmp_path / "a.npz", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: pd.concat([t, t.iloc[:1]]), "appears twice at iteration 0"),
        (lambda t: t.assign(label=[*t["label"][:-1], 2 - t["label"].iloc[-1] + 1]), "two different targets"),
        (lambda t: t.assign(step="soon"), "iteration must be numbers"),
        (lambda t: t.assign(logits=[[1.0], *t["logits"][1:]]), "all of one length"),
        (lambda t: t.drop(columns="id"), "without a column image"),
        (lambda t: t.drop(columns="step"), "without a column iteration"),
    ],
)
def test_rows__that_do_not_fit_are_named(tmp_path, logits, target, change, words):
    save(change(rows(logits, target)), tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=words):
        ingest_run(tmp_path / "a.jsonl", tmp_path / "run")
