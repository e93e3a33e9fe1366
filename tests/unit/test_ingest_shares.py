"""Claims of ingesting probabilities: what cannot be one is refused with its place, and nothing warns in passing."""

import json

import numpy as np
import pytest

from deeptracker.errors import InputError
from deeptracker.ingest.passes import read_passes


def table(path, *rows):
    path.write_text(
        "\n".join(json.dumps({"step": 30, "id": f"i{n}", "target": 0} | row) for n, row in enumerate(rows))
    )
    return path


GOOD = {"probabilities": [0.2, 0.3, 0.5]}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([GOOD, {"probabilities": [20, 30, 50]}], "100 is the sum of the probabilities of image i1 at iteration 30"),
        ([{"probabilities": [-0.1, 0.5, 0.6]}], r"-0\.1 is among the probabilities of image i0 at iteration 30"),
        ([{"probabilities": [0.1, 0.1, 0.1]}], r"0\.3 is the sum of .* call scores of another kind logits"),
        (
            [{"predicted": 0, "confidence": 1.5}],
            r"confidence 1\.5 of image i0 at iteration 30: it lies between 0 and 1",
        ),
        ([{"predicted": 0, "confidence": 1}, {"predicted": 0, "confidence": -1}], "confidence -1 of image i1"),
    ],
)
def test_probabilities__that_are_none_are_refused_with_image_and_iteration(tmp_path, rows, words):
    with pytest.raises(InputError, match=words):
        read_passes(table(tmp_path / "a.jsonl", *rows))


def test_probabilities__of_arrays_are_refused_with_image_and_pass(tmp_path):
    shares = np.full((2, 3, 4), 0.25)
    shares[1, 2, 0] = np.inf
    np.savez(tmp_path / "a.npz", probabilities=shares, id=np.array([7, 8, 9]))
    with pytest.raises(InputError, match="inf is the sum of the probabilities of image 9 at pass 2"):
        read_passes(tmp_path / "a.npz")


def test_probabilities__of_half_precision_of_many_classes_are_taken(tmp_path):
    scores = np.random.default_rng(0).normal(size=(1, 50, 1000))
    shares = (np.exp(scores) / np.exp(scores).sum(2, keepdims=True)).astype(np.float16)
    np.savez(tmp_path / "a.npz", probabilities=shares, labels=np.zeros(50, int))
    np.testing.assert_allclose(read_passes(tmp_path / "a.npz").passes[0].loss, -np.log(shares[0, :, 0]), rtol=1e-3)


def test_answers__that_are_missing_in_part_have_no_loss_and_none_warns(tmp_path):
    rows = [{"probabilities": [0.2, None, 0.9]}, {"probabilities": [0, 0.5, 0.5]}]
    found = read_passes(table(tmp_path / "a.jsonl", *rows)).passes[0]
    assert found.predicted.tolist() == [-1, 1]
    np.testing.assert_array_equal(found.loss, [np.nan, np.inf])
    np.savez(
        tmp_path / "b.npz", logits=np.array([[np.inf, 0], [-np.inf, -np.inf], [0, -np.inf]]), labels=np.zeros(3, int)
    )
    np.testing.assert_array_equal(read_passes(tmp_path / "b.npz").passes[0].loss, [np.nan, np.nan, 0])
