"""The fully connected layer: Eqs. 1 and 2 as matrix products."""

from minibp.device import Array
from minibp.errors import InputError
from minibp.layers.base import WeightedLayer
from minibp.ops.contract import Ops


class Linear(WeightedLayer):
    """N = X W + b; backward through V (Eqs. 1 and 2).

    W, V (I, J); b (J,) or None. The transfer function f is a layer of its own, so `backward` is
    given dN = f′(N) ∘ dY.

    >>> import numpy as np
    >>> layer = Linear(W=np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> layer.V = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> layer.forward(np.array([[1.0, 1.0]]), train=True)
    array([[4., 6.]])
    >>> layer.backward(np.array([[5.0, 7.0]]))
    array([[7., 5.]])
    >>> layer.grads["W"]
    array([[5., 7.],
           [5., 7.]])
    """

    def __init__(self, W: Array, b: Array | None = None, *, name: str = ""):
        super().__init__(W, b, name=name)
        if W.ndim != 2:
            raise InputError(f"layer {self.path!r}: W has shape {W.shape}, expected (I, J).")

    def forward(self, X: Array, *, train: bool) -> Array:
        self.check_input(X, f"(B, {self.W.shape[0]})")
        self.remember(train, X=X)
        return self.ops.linear(X, self.W, self.b)  # Eq. 1: N = X W + b

    def backward(self, dN: Array, *, need_dX: bool = True) -> Array | None:
        (X,) = self.recall("X")
        self.dN = dN
        self.grads = {"W": self.ops.linear_dW(X, dN)}  # never V
        if self.b is not None:
            self.grads["b"] = self.ops.feature_sum(dN)
        if not need_dX:
            return None
        if self.far is not None:
            return self.dX_from_afar()
        return self.ops.linear_dX(dN, self.V)  # Eq. 2: dX = dN Vᵀ

    def N_of(self, ops: Ops, X: Array, A: Array) -> Array:
        return ops.linear(X, A, None)

    def back(self, ops: Ops, Y: Array, A: Array) -> Array:
        return ops.linear_dX(Y, A)

    def hebb(self, ops: Ops, X: Array, Y: Array) -> Array:
        return ops.linear_dW(X, Y)
