"""The rectified linear unit: the paper's f."""

from minibp.device import Array
from minibp.layers.base import Layer
from minibp.ops.activation import relu, relu_dN


class ReLU(Layer):
    """Y = max(N, 0), for N of any shape; f′(0) = 0."""

    def forward(self, N: Array, *, train: bool) -> Array:
        self.remember(train, N=N)
        return relu(N)

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        (N,) = self.recall("N")
        return relu_dN(N, dY) if need_dX else None

    def kinks(self) -> Array:
        return self.cache["N"] > 0
