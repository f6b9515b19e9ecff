"""A convolution, by hand."""

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.layers import Conv2D

X = np.arange(9.0).reshape(1, 3, 3, 1)
W = np.array([[1.0, 0.0], [0.0, -1.0]]).reshape(2, 2, 1, 1)


def test_eq_1_at_every_position(device):
    N = Conv2D(device.asarray(W)).forward(device.asarray(X), train=False)
    np.testing.assert_allclose(device.to_host(N)[0, :, :, 0], [[-4, -4], [-4, -4]])


def test_stride_and_padding(device):
    layer = Conv2D(device.asarray(W), stride=2, padding=(1, 0, 1, 0))
    N = layer.forward(device.asarray(X), train=False)
    np.testing.assert_allclose(device.to_host(N)[0, :, :, 0], [[0, -2], [-6, 4 - 8]])


def test_eq_2_at_every_position(device):
    layer = Conv2D(device.asarray(W))
    layer.V = device.asarray(np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1))
    layer.forward(device.asarray(X), train=True)
    dN = np.zeros((1, 2, 2, 1))
    dN[0, 0, 1], dN[0, 1, 0] = 1, 10
    dX = device.to_host(layer.backward(device.asarray(dN)))[0, :, :, 0]
    np.testing.assert_allclose(dX, [[0, 1, 2], [10, 20 + 3, 4], [30, 40, 0]])
    dW = device.to_host(layer.grads["W"])[:, :, 0, 0]
    np.testing.assert_allclose(dW, [[1 + 30, 2 + 40], [4 + 60, 5 + 70]])


def test_windows_that_are_none():
    with pytest.raises(InputError, match=r"stride 0: expected integers of 1 or more"):
        Conv2D(W, stride=0)
    with pytest.raises(InputError, match=r"padding .*: expected \(top, bottom, left, right\)"):
        Conv2D(W, padding=(1, 1))
    with pytest.raises(InputError, match=r"window of 2x2 does not fit into an image of 1x3"):
        Conv2D(W).forward(np.ones((1, 1, 3, 1)), train=True)
