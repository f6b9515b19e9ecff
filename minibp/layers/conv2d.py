"""The convolutional layer: Eqs. 1 and 2 at every position of the image."""

from minibp.device import Array
from minibp.errors import InputError
from minibp.layers.base import WeightedLayer
from minibp.ops.contract import Ops
from minibp.ops.window import Padding, check_window


class Conv2D(WeightedLayer):
    """N = X ∗ W + b (a cross-correlation); backward through V (Eqs. 1 and 2).

    W, V (kh, kw, C, J), so that W.reshape(-1, J) is W_ij; b (J,) or None. X (B, H, W, C), N
    (B, OH, OW, J). Padding is (top, bottom, left, right), with zeros.
    """

    def __init__(
        self,
        W: Array,
        b: Array | None = None,
        *,
        stride: int = 1,
        padding: Padding = (0, 0, 0, 0),
        name: str = "",
    ):
        super().__init__(W, b, name=name)
        if W.ndim != 4:
            raise InputError(f"layer {self.path!r}: W has shape {W.shape}, expected (kh, kw, C, J)")
        check_window(W.shape[:2], stride, padding)
        self.stride, self.padding = stride, padding

    def forward(self, X: Array, *, train: bool) -> Array:
        self.check_input(X, f"(B, H, W, {self.W.shape[2]})")
        self.remember(train, X=X)
        return self.ops.conv2d(X, self.W, self.b, self.stride, self.padding)  # Eq. 1

    def backward(self, dN: Array, *, need_dX: bool = True) -> Array | None:
        (X,) = self.recall("X")
        ops, where = self.ops, (self.stride, self.padding)
        self.grads = {"W": ops.conv2d_dW(X, dN, self.W.shape[:2], *where)}  # never V
        if self.b is not None:
            self.grads["b"] = ops.feature_sum(dN)
        if not need_dX:
            return None
        if self.far is not None:
            return self.dX_from_afar()
        return ops.conv2d_dX(dN, self.V, X.shape, *where)  # Eq. 2: V's only use

    def N_of(self, ops: Ops, X: Array, A: Array) -> Array:
        return ops.conv2d(X, A, None, self.stride, self.padding)

    def back(self, ops: Ops, Y: Array, A: Array) -> Array:
        (X,) = self.recall("X")
        return ops.conv2d_dX(Y, A, X.shape, self.stride, self.padding)

    def hebb(self, ops: Ops, X: Array, Y: Array) -> Array:
        return ops.conv2d_dW(X, Y, self.W.shape[:2], self.stride, self.padding)
