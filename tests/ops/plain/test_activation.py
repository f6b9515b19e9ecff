"""The rectifier, sigmoid and tanh."""

import numpy as np

from minibp.ops.plain.activation import relu, relu_dN, sigmoid, sigmoid_dN, tanh, tanh_dN


def test_relu(device):
    N = device.asarray([-1.0, 0.0, 2.0, np.nan, np.inf])
    np.testing.assert_array_equal(device.to_host(relu(N)), [0, 0, 2, np.nan, np.inf])
    dY = device.asarray([3.0, 3.0, 3.0, np.nan, 3.0])
    np.testing.assert_array_equal(device.to_host(relu_dN(N, dY)), [0, 0, 3, np.nan, 3])


def test_derivatives_from_outputs(device):
    N, dY = device.asarray([-2.0, 0.0, 0.5]), device.asarray([1.0, 3.0, -1.0])
    host, d, n = device.to_host, np.array([1.0, 3.0, -1.0]), np.array([-2.0, 0.0, 0.5])
    s = 1 / (1 + np.exp(-n))
    np.testing.assert_allclose(host(sigmoid_dN(sigmoid(N), dY)), s * (1 - s) * d, rtol=1e-12)
    np.testing.assert_allclose(host(tanh_dN(tanh(N), dY)), (1 - np.tanh(n) ** 2) * d, rtol=1e-12)
