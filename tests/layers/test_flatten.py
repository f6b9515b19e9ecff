"""Images to vectors, and back."""

import numpy as np

from minibp.layers import Flatten


def test_the_order_is_kept(device):
    X = np.arange(24.0).reshape(2, 2, 3, 2)
    layer = Flatten()
    Y = layer.forward(device.asarray(X), train=True)
    np.testing.assert_array_equal(device.to_host(Y), X.reshape(2, 12))
    np.testing.assert_array_equal(device.to_host(layer.backward(Y)), X)
