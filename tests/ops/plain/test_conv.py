import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate
from shapes import sliding

from minibp.ops import reference
from minibp.ops.plain.conv import conv2d, conv2d_dW, conv2d_dX


def arrays(case, seed, J=2):
    (B, H, W, C), window, stride, padding = case
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(B, H, W, C))
    Wij, V = rng.normal(size=(2, *window, C, J))
    N = conv2d(X, Wij, None, stride, padding)
    return X, Wij, V, N, rng.normal(size=N.shape)


@given(case=sliding(), seed=st.integers(0, 99))
def test_forward_is_scipys_correlation(case, seed):
    X, W, _, N, _ = arrays(case, seed)
    _, _, stride, (top, bottom, left, right) = case
    padded = np.pad(X, ((0, 0), (top, bottom), (left, right), (0, 0)))
    for b in range(len(X)):
        for j in range(W.shape[3]):
            full = correlate(padded[b], W[..., j], mode="valid")[::stride, ::stride, 0]
            np.testing.assert_allclose(N[b, ..., j], full, atol=1e-12)


@given(case=sliding(), seed=st.integers(0, 99))
def test_eqs_1_and_2_index_by_index(case, seed):
    X, W, V, N, dN = arrays(case, seed)
    shape, _, stride, padding = case
    dX = conv2d_dX(dN, V, shape, stride, padding)
    for b in range(len(X)):
        np.testing.assert_allclose(
            N[b], reference.conv_forward(X[b], W, stride, padding), atol=1e-12
        )
        expected = reference.conv_backward(dN[b], V, shape[1:], stride, padding)
        np.testing.assert_allclose(dX[b], expected, atol=1e-12)


@given(case=sliding(), seed=st.integers(0, 99))
def test_dW_is_the_adjoint_in_W(case, seed):
    """N is linear in W, so ⟨N(W), dN⟩ = ⟨W, dW⟩; and linear in X, so ⟨N(X), dN⟩ = ⟨X, dX⟩."""
    X, W, _, N, dN = arrays(case, seed)
    shape, window, stride, padding = case
    whole = pytest.approx(np.vdot(N, dN), rel=1e-11, abs=1e-11)
    assert np.vdot(W, conv2d_dW(X, dN, window, stride, padding)) == whole
    assert np.vdot(X, conv2d_dX(dN, W, shape, stride, padding)) == whole


def test_bias_is_added_at_every_position(rng):
    X, W, b = rng.normal(size=(2, 5, 5, 3)), rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    case = (1, (0, 0, 0, 0))
    np.testing.assert_allclose(conv2d(X, W, b, *case), conv2d(X, W, None, *case) + b)


def test_on_each_device(device):
    case = ((2, 6, 7, 3), (3, 2), 2, (1, 0, 0, 1))
    shape, window, stride, padding = case
    X, W, V, N, dN = arrays(case, 0)
    put = device.asarray
    for result, expected in (
        (conv2d(put(X), put(W), None, stride, padding), N),
        (
            conv2d_dW(put(X), put(dN), window, stride, padding),
            conv2d_dW(X, dN, window, stride, padding),
        ),
        (
            conv2d_dX(put(dN), put(V), shape, stride, padding),
            conv2d_dX(dN, V, shape, stride, padding),
        ),
    ):
        np.testing.assert_allclose(device.to_host(result), expected, rtol=1e-12, atol=1e-12)
