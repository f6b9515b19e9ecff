"""A layer with weights and what follows it in few launches: matrix product → (BN) → (ReLU) →
(pooling). What lies between is computed anew where it is needed, and not stored."""

from typing import Any

from minibp.device import Array
from minibp.ops.contract import BlockOps, Gradients, Pooling
from minibp.ops.cuda.arithmetic import CudaArithmetic
from minibp.ops.window import Padding


class CudaBlock(BlockOps):
    """A block by kernels of its own.

    convolution  (stride, padding) of a convolution, or None for a fully connected layer
    pooling      what follows a convolution
    """

    def __init__(
        self,
        ops: CudaArithmetic,
        relu: bool,
        convolution: tuple[int, Padding] | None = None,
        pooling: Pooling | None = None,
    ):
        self.ops, self.relu = ops, relu
        self.convolution, self.pooling = convolution, pooling
        self.kept: dict[str, Any] = {}  # from a training forward, for its backward

    def forward(self, X, W, b, scale, shift, eps: float, stored, added=None):
        ops, J, dtype = self.ops, W.shape[-1], W.dtype
        zero, one = ops.constant(0, J, dtype), ops.constant(1, J, dtype)
        columns, shape = X, (len(X), J)
        if self.convolution:
            columns, size = ops.columns(X, W.shape[:2], *self.convolution)
            shape = (len(X), *size, J)
        N = ops.product(columns, W.reshape(-1, J)).reshape(shape)
        if scale is not None and b is not None:
            N = ops.biased(N, b)
        mean, std = (zero, one) if scale is None else stored or ops.moments(N, eps)
        bn = (mean, std, one if scale is None else scale, self._shift(scale, shift, b, zero))
        Y, first = self._down(N, bn)
        self.kept = {
            "columns": columns,
            "N": N,
            "bn": bn,
            "first": first,
            "bias": b is not None,
        }
        return (Y, None, None) if scale is None else (Y, mean, std)

    @staticmethod
    def _shift(scale, shift, b, zero) -> Array:
        if scale is not None:
            return shift
        return zero if b is None else b

    def backward(self, X, dY, W_shape, V, scale, mean, std, *, learns: bool = True) -> Gradients:
        ops, kept, J = self.ops, self.kept, W_shape[-1]
        dN = self._up(dY)
        dscale = dshift = db = None
        if scale is not None:
            N = kept["N"]
            sums = ops.gradient_sums(dN, N, mean, std, normalized=False)
            dN = ops.input_gradient(dN, N, mean, std, scale, sums, normalized=False)
            dshift, dscale = (sums[0], sums[1]) if learns else (None, None)
        if kept["bias"]:
            db = ops.feature_sum(dN)
        rows = dN.reshape(-1, J)
        self.dN = None if self.convolution else dN
        dW = ops.product(kept["columns"], rows, transposed=(True, False)).reshape(W_shape)
        if V is None:
            return None, dW, db, dscale, dshift
        if self.convolution:
            dX = ops.conv2d_dX(dN, V, X.shape, *self.convolution)
        else:
            dX = ops.linear_dX(dN, V)
        return dX, dW, db, dscale, dshift

    def _down(self, N: Array, bn: tuple[Array, ...]) -> tuple[Array, Array | None]:
        """Return Y, and for max pooling which place of each window it is from."""
        ops, xp, arguments = self.ops, self.ops.xp, (N, *bn, int(self.relu))
        if self.pooling is None:
            Y = xp.empty(N.shape, N.dtype)
            ops.launch("bn_relu", N.dtype, N.size, *arguments, Y, N.size, N.shape[-1])
            return Y, None
        kind, (windows, size) = self.pooling[0], ops.windows(N.shape, *self.pooling[1:])
        shape = (len(N), *size, N.shape[-1])
        Y, first = xp.empty(shape, N.dtype), None
        if kind == "max":
            first = xp.empty(shape, "int16")
            ops.launch("bn_relu_max_pool", N.dtype, Y.size, *arguments, Y, first, windows)
        else:
            ops.launch("bn_relu_avg_pool", N.dtype, Y.size, *arguments, Y, windows)
        return Y, first

    def _up(self, dY: Array) -> Array:
        """Return ∂E/∂Z, Z being what goes into the ReLU."""
        ops, N, dY = self.ops, self.kept["N"], self.ops.dense(dY)
        if self.pooling is None and not self.relu:
            return dY
        dZ = ops.xp.empty(N.shape, N.dtype)
        arguments = (N, *self.kept["bn"], int(self.relu), dY, dZ)
        if self.pooling is None:
            ops.launch("bn_relu_dZ", N.dtype, N.size, *arguments, N.size, N.shape[-1])
        elif self.pooling[0] == "max":
            windows, _ = ops.windows(N.shape, *self.pooling[1:])
            ops.launch("max_pool_dX", N.dtype, N.size, dY, self.kept["first"], dZ, windows)
        else:
            windows, _ = ops.windows(N.shape, *self.pooling[1:])
            ops.launch("bn_relu_avg_pool_dZ", N.dtype, N.size, *arguments, windows)
        return dZ
