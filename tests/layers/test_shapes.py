"""What holds for every layer without parameters."""

import numpy as np
import pytest

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
