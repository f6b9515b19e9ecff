"""The rectifier and the loss, against array code."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops import plain
from minibp.ops.cpu import elementwise


def test_the_rectifier_lets_not_a_number_through():
    N = np.array([-1.0, -0.0, 2.0, np.nan, np.inf])
    Y, dN = np.empty(5), np.empty(5)
    elementwise.relu(N, Y)
    np.testing.assert_array_equal(Y, [0, 0, 2, np.nan, np.inf])
    elementwise.relu_dN(N, np.array([1.0, 1, 1, 1, np.nan]), dN)
    np.testing.assert_array_equal(dN, [0, 0, 1, 0, np.nan])


def test_the_loss(rng):
    N, labels, dN = 50 * rng.normal(size=(9, 4)), rng.integers(0, 4, 9), np.empty((9, 4))
    E = elementwise.cross_entropy(N, labels, dN)
    expected, gradient = plain.cross_entropy(N, labels)
    assert pytest.approx(expected, rel=1e-12) == E
    np.testing.assert_allclose(dN, gradient, atol=1e-14)
