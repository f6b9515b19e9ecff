"""Pooling with the rectifier before it: by hand, and against array code."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops import plain
from minibp.ops.cpu import pool


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("window", "stride", "padding"), [((2, 2), 2, (0, 0, 0, 0)), ((3, 2), 2, (1, 0, 0, 1))]
)
def test_against_the_rectifier_and_the_pool_of_array_code(relu, window, stride, padding, rng):
    X = rng.normal(size=(2, 7, 8, 3))
    R = plain.relu(X) if relu else X
    most, first = plain.max_pool(R, window, stride, padding)
    where = (*window, stride, padding[0], padding[2])
    Y, code = np.empty(most.shape), np.empty(most.shape, np.int8)
    pool.max_pool(X, *where, relu, Y, code)
    np.testing.assert_array_equal(Y, most)
    dY, dX = rng.normal(size=Y.shape), np.empty(X.shape)
    pool.max_pool_dX(dY, code, *where, dX)
    expected = plain.max_pool_dX(dY, first, X.shape, window, stride, padding)
    if relu:
        expected = plain.relu_dN(X, expected)
    np.testing.assert_allclose(dX, expected, atol=1e-14)
    mean = plain.avg_pool(R, window, stride, padding)
    on = np.empty(X.shape, np.int8)
    pool.avg_pool(X, *where, relu, Y, on)
    np.testing.assert_allclose(Y, mean, atol=1e-14)
    pool.avg_pool_dX(dY, on, *where, relu, dX)
    expected = plain.avg_pool_dX(dY, X.shape, window, stride, padding)
    np.testing.assert_allclose(dX, plain.relu_dN(X, expected) if relu else expected, atol=1e-14)


def test_a_window_whose_rectifier_is_off_takes_no_error():
    X = -np.ones((1, 2, 2, 1))
    Y, code, dX = np.empty((1, 1, 1, 1)), np.empty((1, 1, 1, 1), np.int8), np.ones(X.shape)
    pool.max_pool(X, 2, 2, 2, 0, 0, True, Y, code)
    assert (Y.item(), code.item()) == (0, -1)
    pool.max_pool_dX(np.ones(Y.shape), code, 2, 2, 2, 0, 0, dX)
    np.testing.assert_array_equal(dX, 0)
