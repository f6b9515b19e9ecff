"""Convolution → (Batch Normalization) → (ReLU) → (pooling) in one go, piece by piece.

A piece of a batch goes through all of it while it is in the cache, and what is only needed in
between is never stored. Everything that outlives a call is kept in `results`, or, dX, in `errors`.
"""

import numpy as np

from minibp.ops.contract import BlockOps, Gradients, Pooling
from minibp.ops.cpu import elementwise, norm, pool
from minibp.ops.cpu.arithmetic import CpuArithmetic
from minibp.ops.cpu.workspace import usable
from minibp.ops.window import Padding, output_size


class Pieces:
    """Pools pieces of a batch, with the rectifier before it if `relu`, and takes errors back."""

    def __init__(self, pooling: Pooling, relu: bool):
        self.kind, self.window, self.stride, self.padding = pooling
        self.relu = relu
        self.geometry = (*self.window, self.stride, self.padding[0], self.padding[2])

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (B, PH, PW, J) for N's (B, OH, OW, J)."""
        size = output_size(*shape[1:3], self.window, self.stride, self.padding)
        return (shape[0], *size, shape[3])

    def code_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the code (see `pool`) for N's shape."""
        return self.shape(shape) if self.kind == "max" else shape

    def down(self, N, Y, code) -> None:
        """Set Y (n, PH, PW, J), and what `up` needs."""
        down = pool.max_pool if self.kind == "max" else pool.avg_pool
        down(N, *self.geometry, self.relu, Y, code)

    def up(self, dY, Y, code, dN) -> None:
        """Set dN (n, OH, OW, J)."""
        if self.kind == "max":
            pool.max_pool_dX(dY, code, *self.geometry, dN)
        else:
            pool.avg_pool_dX(dY, code, *self.geometry, self.relu, dN)


class Unpooled:
    """In the place of `Pieces` where there is no pooling: the rectifier alone, if `relu`."""

    kind = "none"

    def __init__(self, relu: bool):
        self.relu = relu

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def code_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """No code is needed: Y says on which side of 0 N was."""
        return (shape[0], 0)

    def down(self, N, Y, code) -> None:
        if self.relu:
            elementwise.relu(N.reshape(-1), Y.reshape(-1))
        else:
            Y[...] = N

    def up(self, dY, Y, code, dN) -> None:
        if self.relu:
            elementwise.relu_dN(Y.reshape(-1), dY.reshape(-1), dN.reshape(-1))
        else:
            dN[...] = dY


class ConvBlock(BlockOps):
    """Such a block; `ops` gives the memory and the threads. Without pooling, and with Batch
    Normalization, it can add a shortcut's output before the ReLU."""

    def __init__(
        self,
        ops: CpuArithmetic,
        stride: int,
        padding: Padding,
        relu: bool,
        pooling: Pooling | None,
    ):
        self.ops, self.stride, self.padding = ops, stride, padding
        self.biased, self.adds = True, pooling is None
        self.pooling = Unpooled(relu) if pooling is None else Pieces(pooling, relu)

    def forward(self, X, W, b, scale, shift, eps: float, stored, added=None):
        X, normalized, training = usable(X), scale is not None, stored is None
        more = np.empty((0, W.shape[-1]), X.dtype) if added is None else added
        ops, way = self.ops, self._way(X.shape, W.shape, X.dtype, dX=False)
        shape = (len(X), way.OH, way.OW, way.J)
        Y = ops.result("Y", self.pooling.shape(shape), X.dtype)
        code = ops.result("code", self.pooling.code_shape(shape), np.int8)
        self.biased = b is not None
        b = np.zeros(way.J, X.dtype) if b is None else b
        way.set_filters(W)

        def finish(worker: int, N, a: int, e: int) -> None:
            if normalized:
                rows = N.reshape(-1, way.J)
                if isinstance(self.pooling, Unpooled):
                    out, plus = Y[a:e].reshape(-1, way.J), more[a:e].reshape(-1, way.J)
                    norm.affine_relu(rows, mean, scale / std, shift, plus, self.pooling.relu, out)
                    return
                N = way.scratch("outputs" if training else "evaluated", worker, *N.shape)
                norm.affine(rows, mean, scale / std, shift, N.reshape(-1, way.J))
            self.pooling.down(N, Y[a:e], code[a:e])

        if normalized and training:
            N, seen = (
                ops.result("N", shape, X.dtype),
                norm.Moments(ops.team.threads, way.J, X.dtype),
            )

            def convolve(worker: int, begin: int, end: int) -> None:
                for a, e in way.pieces(begin, end):
                    way.outputs(worker, X, a, e, b, N[a:e])
                    seen.add(worker, N[a:e].reshape(-1, way.J))

            def normalize(worker: int, begin: int, end: int) -> None:
                for a, e in way.pieces(begin, end):
                    finish(worker, N[a:e], a, e)

            ops.team.run(convolve, len(X))
            mean, std = seen.mean_and_std(eps)
            ops.team.run(normalize, len(X))
            return Y, mean, std

        mean, std = stored or (None, None)

        def whole(worker: int, begin: int, end: int) -> None:
            for a, e in way.pieces(begin, end):
                N = way.scratch("outputs", worker, e - a, way.OH, way.OW, way.J)
                way.outputs(worker, X, a, e, b, N)
                finish(worker, N, a, e)

        ops.team.run(whole, len(X))
        return Y, mean, std

    def backward(self, X, dY, W_shape, V, scale, mean, std, *, learns: bool = True) -> Gradients:
        X, dY, ops = usable(X), usable(dY), self.ops
        way = self._way(X.shape, W_shape, X.dtype, dX=V is not None)
        shape = (len(X), way.OH, way.OW, way.J)
        code = ops.result("code", self.pooling.code_shape(shape), np.int8)
        Y, dW = ops.result("Y", dY.shape, X.dtype), ops.result("dW", W_shape, X.dtype)
        dX = None if V is None else ops.error(dY, X.shape)
        db = np.zeros((ops.team.threads, way.J))
        sums = np.zeros((ops.team.threads, 2, way.J))

        def piece(worker: int, a: int, e: int):
            dN = way.scratch("outputs", worker, e - a, way.OH, way.OW, way.J)
            self.pooling.up(dY[a:e], Y[a:e], code[a:e], dN)
            return dN

        if scale is not None:
            N, one = ops.result("N", shape, X.dtype).reshape(len(X), -1, way.J), np.ones_like(std)

            def add_up(worker: int, begin: int, end: int) -> None:
                if self.pooling.kind == "max" and not learns:
                    d, y, on = (x[begin:end].reshape(-1, way.J) for x in (dY, Y, code))
                    norm.pooled_gradient_sums(d, y, on, *sums[worker])
                    return
                if isinstance(self.pooling, Unpooled):
                    d, y, x = (A[begin:end].reshape(-1, way.J) for A in (dY, Y, N))
                    given = (self.pooling.relu, x, mean, one / std, *sums[worker])
                    norm.rectified_gradient_sums(d, y, *given)
                    return
                for a, e in way.pieces(begin, end):
                    d, rows = piece(worker, a, e).reshape(-1, way.J), N[a:e].reshape(-1, way.J)
                    norm.gradient_sums(d, rows, mean, one / std, *sums[worker])

            ops.team.run(add_up, len(X))
            dshift, dscale = sums.sum(axis=0).astype(X.dtype)
            count = len(X) * way.OH * way.OW

        def error(worker: int, a: int, e: int):
            """Return dN of images a … e."""
            if scale is None:
                return piece(worker, a, e)
            x = N[a:e].reshape(-1, way.J)
            given = (x, mean, one / std, scale / std, dshift / count, dscale / count)
            if isinstance(self.pooling, Unpooled):
                dN = way.scratch("outputs", worker, e - a, way.OH, way.OW, way.J)
                d, y, out = (A.reshape(-1, way.J) for A in (dY[a:e], Y[a:e], dN))
                norm.rectified_input_gradient(d, y, self.pooling.relu, *given, out)
            else:
                dN = piece(worker, a, e)
                norm.input_gradient(dN.reshape(-1, way.J), *given)
            return dN

        if V is not None:
            way.set_feedback(V)

        def share(worker: int, begin: int, end: int) -> None:
            for a, e in way.pieces(begin, end):
                dN = error(worker, a, e)
                if self.biased:
                    norm.column_sum(dN.reshape(-1, way.J), db[worker])
                way.gradients(worker, X, a, e, dN, dX, first=a == begin)

        ops.team.run(share, len(X))
        way.filter_gradient(len(ops.team.shares(len(X))), dW)
        db = db.sum(axis=0).astype(X.dtype)
        return (dX, dW, db, dscale, dshift) if scale is not None else (dX, dW, db, None, None)

    def _way(self, X_shape, W_shape, dtype, dX: bool):
        return self.ops.convolution(X_shape, W_shape, self.stride, self.padding, dtype, dX=dX)
