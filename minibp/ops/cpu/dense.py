"""Fully connected → (Batch Normalization) → (ReLU) in one go: threads share the features.

Forward, each thread multiplies, normalizes and rectifies its own columns of the batch. Backward,
likewise; then each takes its share of the inputs, for dW and dX.
"""

import numpy as np

from minibp.ops.contract import BlockOps, Gradients
from minibp.ops.cpu.arithmetic import CpuArithmetic
from minibp.ops.cpu.jit import kernel
from minibp.ops.cpu.workspace import usable


@kernel
def finish(N, b, mean, inverse, scale, shift, normalize, relu, eps, own, Y, a, e):
    """Y = f(BN(N + b)) for features a … e of N (B, J); N gets its bias. If `own`, the batch's mean
    and inverse deviation are computed first."""
    B, n = N.shape[0], e - a
    zero, one = N.dtype.type(0), N.dtype.type(1)
    b, mean, inverse, scale, shift = b[a:e], mean[a:e], inverse[a:e], scale[a:e], shift[a:e]
    for i in range(B):
        row = N[i, a:e]
        for j in range(n):
            row[j] += b[j]
    if normalize and own:
        s, q = np.zeros(n), np.zeros(n)
        for i in range(B):
            row = N[i, a:e]
            for j in range(n):
                s[j] += row[j]
        for j in range(n):
            mean[j] = s[j] / B
        for i in range(B):
            row = N[i, a:e]
            for j in range(n):
                q[j] += (row[j] - mean[j]) * (row[j] - mean[j])
        for j in range(n):
            inverse[j] = one / N.dtype.type(np.sqrt(q[j] / B + eps))
    for i in range(B):
        row, y = N[i, a:e], Y[i, a:e]
        if normalize:
            for j in range(n):
                y[j] = (row[j] - mean[j]) * inverse[j] * scale[j] + shift[j]
        else:
            for j in range(n):
                y[j] = row[j]
        if relu:
            for j in range(n):
                y[j] = zero if y[j] <= zero else y[j]


@kernel
def undo(dY, Y, N, mean, inverse, scale, normalize, relu, dN, db, dscale, dshift, a, e):
    """dN (B, J) of dY (B, J) for features a … e, and their sums."""
    B, n = N.shape[0], e - a
    zero, one = N.dtype.type(0), N.dtype.type(1)
    part = one / N.dtype.type(B)
    mean, inverse, scale = mean[a:e], inverse[a:e], scale[a:e]
    db, dscale, dshift = db[a:e], dscale[a:e], dshift[a:e]
    db[:] = zero
    for i in range(B):
        d, y, out = dY[i, a:e], Y[i, a:e], dN[i, a:e]
        for j in range(n):
            out[j] = d[j] * (one if not relu or y[j] > zero else zero)
    if normalize:
        dscale[:] = zero
        dshift[:] = zero
        gain = inverse * scale
        for i in range(B):
            row, out = N[i, a:e], dN[i, a:e]
            for j in range(n):
                dscale[j] += out[j] * (row[j] - mean[j]) * inverse[j]
            for j in range(n):
                dshift[j] += out[j]
        share, slope = dshift * part, dscale * part * inverse
        for i in range(B):
            row, out = N[i, a:e], dN[i, a:e]
            for j in range(n):
                out[j] = (out[j] - share[j] - (row[j] - mean[j]) * slope[j]) * gain[j]
    for i in range(B):
        out = dN[i, a:e]
        for j in range(n):
            db[j] += out[j]


class DenseBlock(BlockOps):
    """Such a block; `ops` gives the memory and the threads."""

    def __init__(self, ops: CpuArithmetic, relu: bool):
        self.ops, self.relu = ops, relu

    def forward(self, X, W, b, scale, shift, eps: float, stored, added=None):
        ops, J, normalize = self.ops, W.shape[1], scale is not None
        N, Y = (ops.result(name, (len(X), J), X.dtype) for name in ("N", "Y"))
        mean, inverse = np.zeros(J, X.dtype), np.ones(J, X.dtype)
        if stored is not None:
            mean, inverse = stored[0], 1 / stored[1]
        b = np.zeros(J, X.dtype) if b is None else b
        scale, shift = (mean, mean) if scale is None else (scale, shift)

        def share(_: int, a: int, e: int) -> None:
            np.matmul(X, W[:, a:e], out=N[:, a:e])
            own = stored is None
            finish(N, b, mean, inverse, scale, shift, normalize, self.relu, eps, own, Y, a, e)

        ops.spread(share, J, X.size // 8)
        return (Y, mean, 1 / inverse) if normalize else (Y, None, None)

    def backward(self, X, dY, W_shape, V, scale, mean, std, *, learns: bool = True) -> Gradients:
        ops, (I, J), normalize = self.ops, W_shape, scale is not None
        X, dY = usable(X), usable(dY)
        N, Y, dN = (ops.result(name, (len(X), J), X.dtype) for name in ("N", "Y", "dN"))
        db, dscale, dshift = np.empty((3, J), X.dtype)
        inverse = 1 / std if normalize else dscale
        mean, scale = (mean, scale) if normalize else (dscale, dscale)
        ops.spread(
            lambda _, a, e: undo(
                dY, Y, N, mean, inverse, scale, normalize, self.relu, dN, db, dscale, dshift, a, e
            ),
            J,
            4 * len(X),
        )
        dW = ops.result("dW", W_shape, X.dtype)
        dX = None if V is None else ops.error(dY, X.shape)

        def products(_: int, a: int, e: int) -> None:
            np.matmul(X[:, a:e].T, dN, out=dW[a:e])
            if V is not None:
                np.matmul(dN, V[a:e].T, out=dX[:, a:e])

        ops.spread(products, I, dN.size // 8)
        self.dN = dN
        return (dX, dW, db, dscale, dshift) if normalize else (dX, dW, db, None, None)
