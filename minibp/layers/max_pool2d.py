"""Max pooling."""

from minibp.device import Array
from minibp.layers.base import Layer
from minibp.ops.window import Padding, Pair, check_pool


class MaxPool2D(Layer):
    """Y = the maximum of each window of X (B, H, W, C).

    The window is clipped to the image. The first maximum in scan order takes the whole gradient.
    """

    def __init__(
        self, window: Pair, stride: int, *, padding: Padding = (0, 0, 0, 0), name: str = ""
    ):
        super().__init__(name)
        check_pool(window, stride, padding)
        self.window, self.stride, self.padding = window, stride, padding

    def forward(self, X: Array, *, train: bool) -> Array:
        Y, first = self.ops.max_pool(X, self.window, self.stride, self.padding)
        self.remember(train, X=X, first=first)
        return Y

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        X, first = self.recall("X", "first")
        if not need_dX:
            return None
        return self.ops.max_pool_dX(dY, first, X.shape, self.window, self.stride, self.padding)

    def kinks(self) -> Array:
        return self.cache["first"]
