"""The logistic function."""

import numpy as np
import pytest
from scipy.special import expit

from minibp import gradcheck
from minibp.layers import Sigmoid


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_from_end_to_end(dtype, device):
    N = np.array([-1e4, -700, -80, -20, -1, -1e-9, 0, 1e-9, 1, 20, 700, 1e4], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        Y = Sigmoid().forward(device.asarray(N, dtype), train=True)
    assert Y.dtype == dtype
    rtol = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(device.to_host(Y), expit(N), rtol=rtol, atol=np.finfo(dtype).tiny)


def test_gradients(device, rng):
    X = device.asarray(rng.normal(size=(3, 5, 4, 2)))
    layer = Sigmoid()
    report = gradcheck(layer, X, device=device)
    assert report.ok, report
    Y = layer.forward(X, train=True)
    assert layer.backward(Y, need_dX=False) is None
    assert layer.kinks() is None


def test_not_a_number_goes_through():
    assert np.isnan(Sigmoid().forward(np.array([np.nan]), train=True)).all()
