"""The largest of each window, by hand."""

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.layers import MaxPool2D


def test_the_first_of_equal_maxima_takes_the_error(device):
    X = np.array([[1.0, 5.0, 2.0, 2.0], [5.0, 0.0, 2.0, 2.0]]).reshape(1, 2, 4, 1)
    layer = MaxPool2D((2, 2), 2)
    Y = layer.forward(device.asarray(X), train=True)
    np.testing.assert_array_equal(device.to_host(Y)[0, :, :, 0], [[5, 2]])
    dX = device.to_host(layer.backward(device.asarray([[[[3.0], [7.0]]]])))
    np.testing.assert_array_equal(dX[0, :, :, 0], [[0, 3, 7, 0], [0, 0, 0, 0]])


def test_padding_never_wins(device):
    X = device.asarray(np.full((1, 2, 2, 1), -4.0))
    Y = MaxPool2D((2, 2), 1, padding=(1, 1, 1, 1)).forward(X, train=False)
    np.testing.assert_array_equal(device.to_host(Y), np.full((1, 3, 3, 1), -4.0))


def test_a_window_of_nothing_but_padding_is_refused():
    with pytest.raises(InputError, match="whole window"):
        MaxPool2D((2, 2), 2, padding=(2, 0, 0, 0))
