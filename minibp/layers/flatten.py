"""From feature maps to a vector."""

import math

from minibp.device import Array
from minibp.layers.base import Layer


class Flatten(Layer):
    """Y (B, H·W·C) from X (B, H, W, C)."""

    def forward(self, X: Array, *, train: bool) -> Array:
        self.remember(train, shape=X.shape)
        return X.reshape(X.shape[0], math.prod(X.shape[1:]))

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        (shape,) = self.recall("shape")
        return dY.reshape(shape) if need_dX else None
