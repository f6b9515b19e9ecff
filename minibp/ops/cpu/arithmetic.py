"""The arithmetic of the CPU's compiled tier, by the kernels of this folder."""

from collections.abc import Callable

import numpy as np

from minibp.ops import plain
from minibp.ops.contract import Ops
from minibp.ops.cpu import elementwise, norm, pool
from minibp.ops.cpu.conv import (
    Columns,
    Convolution,
    Pointwise,
    Polyphase,
    Subsampled,
    Winograd,
)
from minibp.ops.cpu.threads import ONE_BLAS_THREAD
from minibp.ops.cpu.workspace import Workspace, usable
from minibp.ops.window import Padding, Pair, output_size

Array = np.ndarray
FEW = 1 << 18  # operations that one thread does sooner than it has shared them


class CpuArithmetic(Ops):
    """The operations, with the plain tier's results but for rounding.

    scratch   what is needed during an operation only
    results   where results are kept from step to step; None: each result is a new array
    errors    likewise the errors, of several layers in turns
    """

    def __init__(
        self, scratch: Workspace, results: Workspace | None = None, errors: Workspace | None = None
    ):
        self.scratch, self.results, self.errors = scratch, results, errors
        self.team = scratch.team

    def result(self, name: str, shape: tuple[int, ...], dtype: object) -> Array:
        """Return the array for a result: new, or the one of the last step."""
        if self.results is None:
            return np.empty(shape, dtype)
        return self.results.array(name, shape, dtype)

    def error(self, above: Array, shape: tuple[int, ...]) -> Array:
        """Return the array for an error that is computed from the one above: of two, the other."""
        if self.errors is None:
            return np.empty(shape, above.dtype)
        array = self.errors.array("one", shape, above.dtype)
        if np.may_share_memory(array, above):
            array = self.errors.array("other", shape, above.dtype)
        return array

    # Convolution

    def convolution(
        self, X_shape, W_shape, stride: int, padding: Padding, dtype, *, dX: bool
    ) -> Convolution:
        """Return the fastest way to convolve; dX: whether that is wanted, too."""
        ways = (Winograd, Subsampled, Polyphase, Pointwise, Columns)
        way = next(way for way in ways if way.fits(W_shape, stride, padding, dX))
        return way(self.scratch, X_shape, W_shape, stride, padding, dtype)

    def conv2d(self, X: Array, W: Array, b: Array | None, stride: int, padding: Padding) -> Array:
        X, W = usable(X), usable(W)
        way = self.convolution(X.shape, W.shape, stride, padding, X.dtype, dX=False)
        N = self.result("N", (len(X), way.OH, way.OW, way.J), X.dtype)
        b = np.zeros(way.J, X.dtype) if b is None else b
        way.set_filters(W)

        def share(worker: int, begin: int, end: int) -> None:
            for a, e in way.pieces(begin, end):
                way.outputs(worker, X, a, e, b, N[a:e])

        self.team.run(share, len(X))
        return N

    def conv2d_dW(self, X: Array, dN: Array, kernel: Pair, stride: int, padding: Padding) -> Array:
        X, dN = usable(X), usable(dN)
        W_shape = (*kernel, X.shape[3], dN.shape[3])
        way = self.convolution(X.shape, W_shape, stride, padding, X.dtype, dX=False)
        self._check(dN.shape, (len(X), way.OH, way.OW, way.J))
        dW = self.result("dW", W_shape, X.dtype)

        def share(worker: int, begin: int, end: int) -> None:
            for a, e in way.pieces(begin, end):
                way.gradients(worker, X, a, e, dN[a:e], None, first=a == begin)

        self.team.run(share, len(X))
        way.filter_gradient(len(self.team.shares(len(X))), dW)
        return dW

    def conv2d_dX(
        self, dN: Array, V: Array, shape: tuple[int, ...], stride: int, padding: Padding
    ) -> Array:
        way = self.convolution(shape, V.shape, stride, padding, dN.dtype, dX=True)
        dN, V = usable(dN), usable(V)
        self._check(dN.shape, (shape[0], way.OH, way.OW, way.J))
        dX = self.error(dN, shape)
        way.set_feedback(V)

        def share(worker: int, begin: int, end: int) -> None:
            for a, e in way.pieces(begin, end):
                way.gradients(worker, None, a, e, dN[a:e], dX, first=a == begin)

        self.team.run(share, len(dN))
        return dX

    # The fully connected layer: threads share the outputs forward, the inputs backward

    def linear(self, X: Array, W: Array, b: Array | None) -> Array:
        N = self.result("N", (len(X), W.shape[1]), X.dtype)

        def share(_: int, a: int, e: int) -> None:
            np.matmul(X, W[:, a:e], out=N[:, a:e])
            if b is not None:
                N[:, a:e] += b[a:e]

        self.spread(share, W.shape[1], X.size // 8)
        return N

    def linear_dW(self, X: Array, dN: Array) -> Array:
        dW = self.result("dW", (X.shape[1], dN.shape[1]), X.dtype)
        self.spread(
            lambda _, a, e: np.matmul(X[:, a:e].T, dN, out=dW[a:e]), X.shape[1], dN.size // 8
        )
        return dW

    def linear_dX(self, dN: Array, V: Array) -> Array:
        dX = self.error(dN, (len(dN), len(V)))
        self.spread(lambda _, a, e: np.matmul(dN, V[a:e].T, out=dX[:, a:e]), len(V), dN.size // 8)
        return dX

    # Elementwise

    def relu(self, N: Array) -> Array:
        Y = self.result("Y", N.shape, N.dtype)
        n, y = usable(N).reshape(-1), Y.reshape(-1)
        self.spread(lambda _, a, e: elementwise.relu(n[a:e], y[a:e]), N.size)
        return Y

    def relu_dN(self, N: Array, dY: Array) -> Array:
        self._check(dY.shape, N.shape)
        dN = self.error(dY, N.shape)
        n, d, out = usable(N).reshape(-1), usable(dY).reshape(-1), dN.reshape(-1)
        self.spread(lambda _, a, e: elementwise.relu_dN(n[a:e], d[a:e], out[a:e]), N.size)
        return dN

    # Smooth transfer functions are rare enough for array code.
    sigmoid, sigmoid_dN = map(staticmethod, (plain.sigmoid, plain.sigmoid_dN))
    tanh, tanh_dN = map(staticmethod, (plain.tanh, plain.tanh_dN))

    def add(self, A: Array, B: Array) -> Array:
        return self._sum(A, B, self.result("Y", A.shape, A.dtype))

    def add_dX(self, dA: Array, dB: Array) -> Array:
        return self._sum(dA, dB, self.error(dB, dA.shape))

    def _sum(self, A: Array, B: Array, C: Array) -> Array:
        self._check(B.shape, A.shape)
        a, b, c = A.reshape(-1), B.reshape(-1), C.reshape(-1)
        self.spread(lambda _, i, e: np.add(a[i:e], b[i:e], out=c[i:e]), A.size)
        return C

    def cross_entropy(self, N: Array, labels: Array) -> tuple[Array, Array]:
        dN = np.empty_like(N)
        E = elementwise.cross_entropy(usable(N), usable(labels.astype(np.int64, copy=False)), dN)
        return N.dtype.type(E), dN

    # Pooling

    def max_pool(self, X: Array, window: Pair, stride: int, padding: Padding):
        if window[0] * window[1] > np.iinfo(np.int8).max:
            return plain.max_pool(X, window, stride, padding)
        X = usable(X)
        Y, first = self._pooled(X.shape, window, stride, padding, X.dtype)
        geometry = (*window, stride, padding[0], padding[2])
        self.team.run(
            lambda _, a, e: pool.max_pool(X[a:e], *geometry, False, Y[a:e], first[a:e]), len(X)
        )
        return Y, first

    def max_pool_dX(self, dY: Array, first: Array, shape, window: Pair, stride: int, padding):
        self._check(dY.shape, first.shape)
        if first.dtype != np.int8:
            return plain.max_pool_dX(dY, first, shape, window, stride, padding)
        dY, dX = usable(dY), self.error(dY, shape)
        geometry = (*window, stride, padding[0], padding[2])
        self.team.run(
            lambda _, a, e: pool.max_pool_dX(dY[a:e], first[a:e], *geometry, dX[a:e]), len(dY)
        )
        return dX

    def avg_pool(self, X: Array, window: Pair, stride: int, padding: Padding) -> Array:
        X = usable(X)
        Y, _ = self._pooled(X.shape, window, stride, padding, X.dtype)
        none = np.empty((len(X), 0, 0, 0), np.int8)
        geometry = (*window, stride, padding[0], padding[2])
        self.team.run(
            lambda _, a, e: pool.avg_pool(X[a:e], *geometry, False, Y[a:e], none[a:e]), len(X)
        )
        return Y

    def avg_pool_dX(self, dY: Array, shape, window: Pair, stride: int, padding: Padding) -> Array:
        pooled = output_size(*shape[1:3], window, stride, padding)
        self._check(dY.shape, (shape[0], *pooled, shape[3]))
        dY, dX = usable(dY), self.error(dY, shape)
        none = np.empty((len(dY), 0, 0, 0), np.int8)
        geometry = (*window, stride, padding[0], padding[2])
        self.team.run(
            lambda _, a, e: pool.avg_pool_dX(dY[a:e], none[a:e], *geometry, False, dX[a:e]), len(dY)
        )
        return dX

    def _pooled(self, shape, window: Pair, stride: int, padding: Padding, dtype):
        pooled = (shape[0], *output_size(*shape[1:3], window, stride, padding), shape[3])
        return self.result("Y", pooled, dtype), self.result("first", pooled, np.int8)

    # Batch Normalization

    def feature_sum(self, X: Array) -> Array:
        rows = usable(X).reshape(-1, X.shape[-1])
        parts = np.zeros((self.team.threads, X.shape[-1]))
        self.spread(
            lambda worker, a, e: norm.column_sum(rows[a:e], parts[worker]), len(rows), X.shape[-1]
        )
        return parts.sum(axis=0).astype(X.dtype)

    def normalize(self, X: Array, eps: float) -> tuple[Array, Array, Array]:
        rows = usable(X).reshape(-1, X.shape[-1])
        seen = norm.Moments(self.team.threads, X.shape[-1], X.dtype)
        self.spread(lambda worker, a, e: seen.add(worker, rows[a:e]), *rows.shape)
        mean, std = seen.mean_and_std(eps)
        Xhat = self.result("Xhat", X.shape, X.dtype)
        out, one = Xhat.reshape(rows.shape), np.ones_like(mean)
        self.spread(
            lambda _, a, e: norm.affine(rows[a:e], mean, one / std, 0 * mean, out[a:e]), *rows.shape
        )
        return Xhat, mean, std

    def normalize_dX(self, dXhat: Array, Xhat: Array, std: Array) -> Array:
        self._check(dXhat.shape, Xhat.shape)
        C = Xhat.shape[-1]
        d, x = usable(dXhat).reshape(-1, C), usable(Xhat).reshape(-1, C)
        sums, zero, one = np.zeros((self.team.threads, 2, C)), np.zeros_like(std), np.ones_like(std)
        self.spread(
            lambda k, a, e: norm.gradient_sums(d[a:e], x[a:e], zero, one, *sums[k]), *x.shape
        )
        share, slope = (sums.sum(axis=0) / len(x)).astype(std.dtype)
        dX = self.error(dXhat, Xhat.shape)
        dX[...] = dXhat
        out, gain = dX.reshape(x.shape), one / std
        self.spread(
            lambda _, a, e: norm.input_gradient(out[a:e], x[a:e], zero, one, gain, share, slope),
            *x.shape,
        )
        return dX

    def spread(self, task: Callable[[int, int, int], None], rows: int, width: int = 1) -> None:
        """Have the rows shared by the team, or by nobody if there is little to do."""
        if rows * width < FEW:
            with ONE_BLAS_THREAD:
                task(0, 0, rows)
        else:
            self.team.run(task, rows)

    @staticmethod
    def _check(given: tuple[int, ...], expected: tuple[int, ...]) -> None:
        if given != expected:
            raise ValueError(f"the error has shape {given}, expected {expected}.")
