"""Layers without parameters."""

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.layers import AvgPool2D, Flatten, MaxPool2D, ReLU

LAYERS = {
    "max": lambda: MaxPool2D((3, 3), 2, padding=(0, 1, 0, 1)),
    "avg": lambda: AvgPool2D((3, 3), 2, padding=(0, 1, 0, 1)),
    "relu": ReLU,
    "flatten": Flatten,
}


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def layer(request):
    return request.param()


def test_backward_has_the_inputs_shape(layer, device, rng):
    X = device.asarray(rng.normal(size=(2, 8, 8, 3)), "float32")
    Y = layer.forward(X, train=True)
    dX = layer.backward(Y)
    assert (dX.shape, dX.dtype, Y.dtype) == (X.shape, X.dtype, X.dtype)
    assert layer.params == layer.grads == {}
    assert layer.backward(Y, need_dX=False) is None


def test_backward_without_a_training_forward(layer, device, rng):
    Y = layer.forward(device.asarray(rng.normal(size=(2, 8, 8, 3))), train=False)
    with pytest.raises(RuntimeError, match="without a training forward"):
        layer.backward(Y)


def test_evaluation_gives_the_same_output(layer, device, rng):
    X = device.asarray(rng.normal(size=(2, 8, 8, 3)))
    trained, evaluated = layer.forward(X, train=True), layer.forward(X, train=False)
    np.testing.assert_array_equal(device.to_host(trained), device.to_host(evaluated))


def test_flatten_keeps_the_order(device):
    X = np.arange(24.0).reshape(2, 2, 3, 2)
    layer = Flatten()
    Y = layer.forward(device.asarray(X), train=True)
    np.testing.assert_array_equal(device.to_host(Y), X.reshape(2, 12))
    np.testing.assert_array_equal(device.to_host(layer.backward(Y)), X)


def test_table_1s_pooling_padding(device):
    """CIFAR: "1 unit right-bottom zero-padding", 32 → 16; the clipped corner has 4 cells."""
    X = device.asarray(np.ones((1, 32, 32, 1)))
    Y = device.to_host(LAYERS["avg"]().forward(X, train=False))
    assert Y.shape == (1, 16, 16, 1)
    np.testing.assert_array_equal(Y, 1)  # zeros counted in would give 4/9 there


def test_pooling_refuses_windows_of_nothing_but_padding():
    with pytest.raises(InputError, match="whole window"):
        MaxPool2D((2, 2), 2, padding=(2, 0, 0, 0))
