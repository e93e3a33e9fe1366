"""Charts as HoloViews elements: they hold the numbers of the run, and a zoom reads again."""

from __future__ import annotations

import numpy as np
import pytest

from deeptracker.errors import InputError
from deeptracker.store import Run
from deeptracker.view import elements


def test_filters__a_pixel_is_the_largest_of_its_values(analysed: Run) -> None:
    image = elements.filters(analysed, "layer1.0.conv1", "w_rms")[()]
    own = analysed.filters.w_rms.sel(layer="layer1.0.conv1")
    assert [d.name for d in image.kdims] == ["iteration", "channel"]
    assert image.vdims[0].name == "w_rms"
    drawn = image.data["w_rms"].values
    assert np.nanmax(drawn) == pytest.approx(float(own.max()))
    assert set(drawn[np.isfinite(drawn)].tolist()) <= set(own.values.ravel().tolist())


def test_scalar__a_zoom_shows_the_records_of_its_range(analysed: Run) -> None:
    element = elements.scalar(analysed, "loss")
    own = analysed.scalars.loss.dropna("iteration").sel(iteration=slice(100, 120))
    element.streams[0].event(x_range=(100, 120))
    curve = element[()]
    np.testing.assert_array_equal(curve.dimension_values("iteration"), own["iteration"].values)
    np.testing.assert_allclose(curve.dimension_values("loss"), own.values, rtol=1e-6)


def test_classes__are_shares_of_wrong_answers(analysed: Run) -> None:
    mesh = elements.classes(analysed)
    view = analysed.validation_sets[0]
    correct = analysed.dataset(f"validation/{view}")["correct"].values
    target = analysed.dataset(f"images/{view.split('/')[0]}")["target"].values
    error = mesh.dimension_values("error", flat=False)  # (class from below, pass)
    np.testing.assert_allclose(error[-1], 100 * (1 - correct[:, target == 0].mean(axis=1)), rtol=1e-5)


def test_elements__what_there_is_not_is_said(analysed: Run) -> None:
    with pytest.raises(InputError, match="no layer 'nowhere'; the run has conv1"):
        elements.filters(analysed, "nowhere")
    with pytest.raises(InputError, match="no scalar 'nothing'"):
        elements.scalar(analysed, "nothing")
    with pytest.raises(InputError, match="no statistic 'mass'"):
        elements.filters(analysed, variable="mass")
