"""The rectified linear unit: the paper's f."""

from minibp.device import Array
from minibp.layers.base import Layer


class ReLU(Layer):
    """Y = max(N, 0), for N of any shape; f′(0) = 0."""

    def forward(self, N: Array, *, train: bool) -> Array:
        self.remember(train, N=N)
        return self.ops.relu(N)

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        (N,) = self.recall("N")
        return self.ops.relu_dN(N, dY) if need_dX else None

    def kinks(self) -> Array:
        return self.cache["N"] > 0
