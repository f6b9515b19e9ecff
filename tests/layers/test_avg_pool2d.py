"""The mean of each window, by hand."""

import numpy as np

from minibp.layers import AvgPool2D


def test_the_error_is_shared_equally(device):
    X = np.array([[1.0, 5.0, 2.0, 2.0], [5.0, 1.0, 2.0, 6.0]]).reshape(1, 2, 4, 1)
    layer = AvgPool2D((2, 2), 2)
    Y = layer.forward(device.asarray(X), train=True)
    np.testing.assert_allclose(device.to_host(Y)[0, :, :, 0], [[3, 3]])
    dX = device.to_host(layer.backward(device.asarray([[[[4.0], [8.0]]]])))
    np.testing.assert_allclose(dX[0, :, :, 0], [[1, 1, 2, 2], [1, 1, 2, 2]])


def test_a_clipped_window_has_fewer_cells(device):
    layer = AvgPool2D((2, 2), 2, padding=(1, 0, 1, 0))
    X = np.arange(1.0, 5).reshape(1, 2, 2, 1)
    Y = layer.forward(device.asarray(X), train=True)
    np.testing.assert_allclose(device.to_host(Y)[0, :, :, 0], [[1]])
    dX = device.to_host(layer.backward(device.asarray([[[[4.0]]]])))
    np.testing.assert_allclose(dX[0, :, :, 0], [[4, 0], [0, 0]])


def test_table_1s_padding(device):
    """CIFAR: "1 unit right-bottom zero-padding", 32 → 16; the clipped corner has 4 cells."""
    X = device.asarray(np.ones((1, 32, 32, 1)))
    layer = AvgPool2D((3, 3), 2, padding=(0, 1, 0, 1))
    Y = device.to_host(layer.forward(X, train=False))
    assert Y.shape == (1, 16, 16, 1)
    np.testing.assert_array_equal(Y, 1)  # zeros counted in would give 4/9 there
