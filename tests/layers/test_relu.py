"""The rectifier."""

import numpy as np

from minibp.layers import ReLU


def test_values_errors_and_kinks(device):
    layer = ReLU()
    Y = layer.forward(device.asarray([[-1.0, 0.0, 2.0]]), train=True)
    np.testing.assert_array_equal(device.to_host(Y), [[0, 0, 2]])
    dN = device.to_host(layer.backward(device.asarray([[5.0, 5.0, 5.0]])))
    np.testing.assert_array_equal(dN, [[0, 0, 5]])  # f′(0) = 0
    np.testing.assert_array_equal(device.to_host(layer.kinks()), [[False, False, True]])
