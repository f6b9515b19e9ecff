"""The hyperbolic tangent as a transfer function."""

from minibp.device import Array
from minibp.layers.base import Layer


class Tanh(Layer):
    """Y = tanh(N), for N of any shape."""

    def forward(self, N: Array, *, train: bool) -> Array:
        Y = self.ops.tanh(N)
        self.remember(train, Y=Y)
        return Y

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        (Y,) = self.recall("Y")
        return self.ops.tanh_dN(Y, dY) if need_dX else None
