"""The mean over all positions."""

import numpy as np
import pytest

from minibp import gradcheck
from minibp.errors import InputError
from minibp.layers import GlobalAvgPool


def test_the_mean_of_all_positions(device, rng):
    X = rng.normal(size=(3, 5, 4, 2))
    Y = GlobalAvgPool().forward(device.asarray(X), train=True)
    np.testing.assert_allclose(device.to_host(Y), X.mean(axis=(1, 2)), atol=1e-15)


def test_gradients(device, rng):
    X = device.asarray(rng.normal(size=(3, 5, 4, 2)))
    layer = GlobalAvgPool()
    report = gradcheck(layer, X, device=device)
    assert report.ok, report
    assert layer.kinks() is None


def test_a_vector_has_no_positions():
    with pytest.raises(InputError, match=r"expects X \(B, H, W, C\), got \(2, 3\)"):
        GlobalAvgPool(name="gap").forward(np.ones((2, 3)), train=True)
