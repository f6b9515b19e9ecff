"""The three products of a fully connected layer, by hand."""

import numpy as np

from minibp.ops.plain import PlainOps

X, W, dN = (
    np.array([[1.0, 2.0]]),
    np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]]),
    np.array([[1.0, 2.0, 3.0]]),
)


def test_products(device):
    ops, put, host = PlainOps(), device.asarray, device.to_host
    np.testing.assert_array_equal(host(ops.linear(put(X), put(W), None)), [[1, 6, 4]])
    b = put(np.array([1.0, 1.0, 1.0]))
    np.testing.assert_array_equal(host(ops.linear(put(X), put(W), b)), [[2, 7, 5]])
    np.testing.assert_array_equal(host(ops.linear_dW(put(X), put(dN))), [[1, 2, 3], [2, 4, 6]])
    np.testing.assert_array_equal(host(ops.linear_dX(put(dN), put(W))), [[7, 9]])
