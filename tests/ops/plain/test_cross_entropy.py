"""Softmax and cross-entropy in one."""

import numpy as np
import pytest

from minibp.ops.plain.cross_entropy import cross_entropy


def test_two_equal_outputs_are_one_bit(device):
    E, dN = cross_entropy(device.asarray([[3.0, 3.0]]), device.asarray([1]))
    assert float(device.to_host(E)) == pytest.approx(np.log(2))
    np.testing.assert_allclose(device.to_host(dN), [[0.5, -0.5]])


def test_errors_of_a_sample_sum_to_zero(device, rng):
    N, labels = rng.normal(size=(7, 4)), rng.integers(0, 4, 7)
    _, dN = cross_entropy(device.asarray(N), device.asarray(labels))
    np.testing.assert_allclose(device.to_host(dN).sum(axis=1), 0, atol=1e-15)
