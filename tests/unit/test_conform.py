"""Claims of the checks against the schema."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from deeptracker import conform
from deeptracker.errors import InputError


def table(**changes):
    arrays = {"target": np.array([0, 1, -1]), "position": np.arange(3)}
    return {**arrays, **changes}


def test_build__gives_dims_dtypes_and_formulas_of_the_schema():
    made = conform.build("images/validation", table(), {"image": ["a", "b", "c"]})
    assert made["target"].dims == ("image",)
    assert made["target"].dtype == np.int32
    assert made["target"].attrs["formula"].startswith("true class")
    assert list(made["image"].values) == ["a", "b", "c"]


def test_build__does_not_compute_dask_arrays():
    lazy = da.from_delayed(__import__("dask").delayed(lambda: 1 / 0)(), (3,), np.float64)
    made = conform.build("index/validation/test/raw/images", {**answers(), "confidence_mean": lazy})
    assert made["confidence_mean"].dtype == np.float32


def answers():
    whole = dict.fromkeys(("forgetting_events", "first_learned", "unforgettable", "order"), np.zeros(3, int))
    return {**whole, **dict.fromkeys(("confidence_mean", "confidence_std", "correctness"), np.zeros(3))}


@pytest.mark.parametrize(
    ("group", "arrays", "names"),
    [
        ("imagery/validation", {}, "imagery/validation"),
        ("images/validation", table(colour=np.zeros(3)), "colour"),
        ("images/validation", {"position": np.arange(3)}, "target"),
        ("images/validation", table(target=np.array([0.5, 1.0, 2.0])), "float64"),
        ("images/validation", table(target=np.zeros((3, 2), int)), "2 axes"),
    ],
)
def test_build__says_what_does_not_fit(group, arrays, names):
    with pytest.raises(InputError, match=names):
        conform.build(group, arrays)


def test_check__refuses_dims_in_another_order():
    made = xr.Dataset({"target": ("picture", np.zeros(3, np.int32)), "position": ("image", np.zeros(3, np.int32))})
    with pytest.raises(InputError, match=r"dims \(picture\)"):
        conform.check(made, "images/validation")


def test_check_row__learns_shapes_and_takes_user_scalars():
    row = {"loss": 1.0, "learning_rate": np.zeros(2), "temperature": 3}
    assert conform.check_row("scalars", row, {"param_group": 2}) == {
        "loss": (),
        "learning_rate": (2,),
        "temperature": (),
    }


@pytest.mark.parametrize("name", ["a/b", "_hidden", "", "iteration", ".."])
def test_check_row__refuses_scalars_that_cannot_be_names(name):
    with pytest.raises(InputError, match="cannot name a scalar"):
        conform.check_row("scalars", {name: 1.0}, {})


def test_check_row__refuses_a_row_of_another_length():
    row = {"predicted": np.zeros(4, int), "correct": np.zeros(4, int), "loss": np.zeros(4)}
    with pytest.raises(InputError, match="image has 5 entries"):
        conform.check_row("validation/test/raw", row, {"image": 5})


def test_check_row__refuses_static_groups():
    with pytest.raises(InputError, match="does not grow"):
        conform.check_row("architecture", {}, {})
