"""The logistic transfer function."""

from minibp.device import Array
from minibp.layers.base import Layer


class Sigmoid(Layer):
    """Y = 1 / (1 + exp(−N)), for N of any shape, without overflow."""

    def forward(self, N: Array, *, train: bool) -> Array:
        Y = self.ops.sigmoid(N)
        self.remember(train, Y=Y)
        return Y

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        (Y,) = self.recall("Y")
        return self.ops.sigmoid_dN(Y, dY) if need_dX else None
