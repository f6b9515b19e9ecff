"""Layers without parameters or kinks: Sigmoid, Tanh, GlobalAvgPool."""

import numpy as np
import pytest
from scipy.special import expit

from minibp import gradcheck
from minibp.errors import InputError
from minibp.layers import GlobalAvgPool, Sigmoid, Tanh


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "f"), [(Sigmoid, expit), (Tanh, np.tanh)])
def test_values_from_end_to_end(kind, f, dtype, device):
    N = np.array([-1e4, -700, -80, -20, -1, -1e-9, 0, 1e-9, 1, 20, 700, 1e4], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        Y = kind().forward(device.asarray(N, dtype), train=True)
    assert Y.dtype == dtype
    rtol = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(device.to_host(Y), f(N), rtol=rtol, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("kind", [Sigmoid, Tanh, GlobalAvgPool])
def test_gradients(kind, device, rng):
    X = device.asarray(rng.normal(size=(3, 5, 4, 2)))
    report = gradcheck(kind(), X, device=device)
    assert report.ok, report
    layer = kind()
    Y = layer.forward(X, train=True)
    assert layer.backward(Y, need_dX=False) is None
    assert layer.kinks() is None


@pytest.mark.parametrize("kind", [Sigmoid, Tanh])
def test_not_a_number_goes_through(kind):
    assert np.isnan(kind().forward(np.array([np.nan]), train=True)).all()


def test_the_mean_of_all_positions(device, rng):
    X = rng.normal(size=(3, 5, 4, 2))
    Y = GlobalAvgPool().forward(device.asarray(X), train=True)
    np.testing.assert_allclose(device.to_host(Y), X.mean(axis=(1, 2)), atol=1e-15)


def test_a_vector_has_no_positions():
    with pytest.raises(InputError, match=r"expects X \(B, H, W, C\), got \(2, 3\)"):
        GlobalAvgPool(name="gap").forward(np.ones((2, 3)), train=True)
