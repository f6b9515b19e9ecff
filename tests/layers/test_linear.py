"""A fully connected layer, by hand."""

import numpy as np

from minibp.layers import Linear

W = np.array([[1.0, 2.0, 0.0], [-1.0, 0.5, 3.0]])
V = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])


def test_eqs_1_and_2_by_hand(device):
    layer = Linear(device.asarray(W))
    layer.V = device.asarray(V)
    N = layer.forward(device.asarray([[1.0, 2.0]]), train=True)
    np.testing.assert_allclose(device.to_host(N), [[-1, 3, 6]])
    dX = layer.backward(device.asarray([[1.0, 0.0, -2.0]]))
    np.testing.assert_allclose(device.to_host(dX), [[0.1 - 0.6, 0.4 - 1.2]])
    expected = [[1, 0, -2], [2, 0, -4]]  # Xᵀ dN
    np.testing.assert_allclose(device.to_host(layer.grads["W"]), expected)


def test_a_bias_is_added_to_each_row_and_sums_up_the_errors(device):
    layer = Linear(device.asarray(W), device.asarray([10.0, 20.0, 30.0]))
    N = layer.forward(device.asarray([[1.0, 2.0], [0.0, 0.0]]), train=True)
    np.testing.assert_allclose(device.to_host(N), [[9, 23, 36], [10, 20, 30]])
    layer.backward(device.asarray([[1.0, 0.0, -2.0], [1.0, 1.0, 1.0]]))
    np.testing.assert_allclose(device.to_host(layer.grads["b"]), [2, 1, -1])
