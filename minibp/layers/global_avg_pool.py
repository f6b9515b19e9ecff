"""From feature maps to their means."""

from minibp.device import Array
from minibp.errors import InputError
from minibp.layers.base import Layer
from minibp.ops.window import Padding

NO_PADDING: Padding = (0, 0, 0, 0)


class GlobalAvgPool(Layer):
    """Y (B, C) = the mean of X (B, H, W, C) over all positions: one window of the image's size."""

    def forward(self, X: Array, *, train: bool) -> Array:
        if X.ndim != 4:
            raise InputError(f"layer {self.path!r} expects X (B, H, W, C), got {X.shape}.")
        self.remember(train, shape=X.shape)
        B, H, W, C = X.shape
        return self.ops.avg_pool(X, (H, W), 1, NO_PADDING).reshape(B, C)

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        (shape,) = self.recall("shape")
        if not need_dX:
            return None
        B, H, W, C = shape
        return self.ops.avg_pool_dX(dY.reshape(B, 1, 1, C), shape, (H, W), 1, NO_PADDING)
