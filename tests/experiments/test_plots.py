"""The picture of an experiment, whatever became of its runs."""

import io

import pytest
from matplotlib.image import imread
from small_sweeps import rate

from minibp.experiments.plots import learning_curves


@pytest.mark.parametrize("diverged", [None, 1])
def test_it_is_a_picture(diverged):
    layers = {"fc1": {"angle_dW": 40.0}, "fc2": {"angle_dW": None}}
    more = {"batch_schedule": "100", "diverged_epoch": diverged, "best_error": 5.0}
    rows = rate(1, (5.0, None), (6.0, None), **more)
    for row in rows["history"]:
        row |= {"loss": None if diverged else 0.5, "layers": {} if diverged else layers}
    record = {"condition": "BN", "dataset": "toy", "seed": 0, "rates": [rows]}
    picture = imread(io.BytesIO(learning_curves(record)))
    assert picture.ndim == 3
    assert picture.std() > 0.01  # something is drawn
