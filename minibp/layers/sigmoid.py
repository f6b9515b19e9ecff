"""The logistic transfer function."""

from minibp.device import Array
from minibp.layers.base import Layer
from minibp.ops.plain.activation import sigmoid, sigmoid_dN


class Sigmoid(Layer):
    """Y = 1 / (1 + exp(−N)), for N of any shape, without overflow."""

    def forward(self, N: Array, *, train: bool) -> Array:
        Y = sigmoid(N)
        self.remember(train, Y=Y)
        return Y

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        (Y,) = self.recall("Y")
        return sigmoid_dN(Y, dY) if need_dX else None
