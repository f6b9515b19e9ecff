"""Average pooling."""

from minibp.device import Array
from minibp.layers.base import Layer
from minibp.ops.window import Padding, Pair, check_pool


class AvgPool2D(Layer):
    """Y = the mean of each window of X (B, H, W, C), over the cells inside the image."""

    def __init__(
        self, window: Pair, stride: int, *, padding: Padding = (0, 0, 0, 0), name: str = ""
    ):
        super().__init__(name)
        check_pool(window, stride, padding)
        self.window, self.stride, self.padding = window, stride, padding

    def forward(self, X: Array, *, train: bool) -> Array:
        self.remember(train, shape=X.shape)
        return self.ops.avg_pool(X, self.window, self.stride, self.padding)

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        (shape,) = self.recall("shape")
        if not need_dX:
            return None
        return self.ops.avg_pool_dX(dY, shape, self.window, self.stride, self.padding)
