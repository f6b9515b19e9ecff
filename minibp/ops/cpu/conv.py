"""Convolution in pieces that stay in the cache: Winograd's where it fits, else columns."""

from itertools import pairwise

import numpy as np

from minibp.ops.cpu import winograd
from minibp.ops.cpu.columns import columns, narrow, phases, widen
from minibp.ops.cpu.products import add_products, add_transposed_products
from minibp.ops.cpu.threads import ONE_BLAS_THREAD
from minibp.ops.cpu.workspace import Workspace
from minibp.ops.plain.conv import conv2d_dX
from minibp.ops.window import Padding, output_size

PIECE_BYTES = 3 << 19  # scratch of one thread at a time: about what a second-level cache holds


class Convolution:
    """Eqs. 1 and 2 at every position, for pieces of a batch (images a … e), by any thread.

    Forward: `set_filters(W)`, then `outputs` for each piece. Backward: `set_feedback(V)`, then
    `gradients` for each piece, and `filter_gradient()`. Subclasses say how.

    X (B, H, W, C) with B of any size; W, V (kh, kw, C, J).
    """

    def __init__(self, work: Workspace, X_shape, W_shape, stride: int, padding: Padding, dtype):
        self.work, self.dtype = work, np.dtype(dtype)
        self.stride, self.padding = stride, padding
        self.H, self.W, self.C = X_shape[1:]
        self.kh, self.kw, _, self.J = W_shape
        self.OH, self.OW = output_size(self.H, self.W, (self.kh, self.kw), stride, padding)
        self.images = 1  # in a piece

    def pieces(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Return (a, e) of each piece of a thread's share, all of about the same size."""
        count = max(1, -(-(end - begin) // self.images))
        bounds = [begin + (end - begin) * k // count for k in range(count + 1)]
        return list(pairwise(bounds))

    def scratch(self, name: str, worker: int, *shape: int) -> np.ndarray:
        """Return a worker's own scratch array."""
        return self.work.array((name, worker), shape, self.dtype)

    def outputs(self, worker: int, X, a: int, e: int, b, N) -> None:
        """Set N (e − a, OH, OW, J) to Eq. 1 of images a … e."""
        raise NotImplementedError

    def gradients(self, worker: int, X, a: int, e: int, dN, dX, first: bool) -> None:
        """Add a piece's part to the worker's dW (or set it, if it is the first) unless X is None,
        and set dX[a:e] to Eq. 2 unless dX is None. dN (e − a, OH, OW, J)."""
        raise NotImplementedError

    def filter_gradient(self, workers: int, dW) -> None:
        """Set dW (kh, kw, C, J) to the sum of the workers' parts."""
        raise NotImplementedError

    def _total(self, workers: int, shape: tuple[int, ...]):
        total = self.scratch("sum", 0, *shape)
        for worker in range(1, workers):
            total += self.scratch("sum", worker, *shape)
        return total


class Winograd(Convolution):
    """Stride 1, kernels of 3×3, 5×5 and 7×7."""

    @staticmethod
    def fits(W_shape, stride: int, padding: Padding, dX: bool) -> bool:
        """Whether this is the way to go: for few channels columns are faster, but for dX."""
        kh, kw, C, _ = W_shape
        few = 3 if kh == 3 else 1
        return stride == 1 and kh == kw in winograd.TILES and (dX or few < C)

    def __init__(self, *args):
        super().__init__(*args)
        self.m, self.p = winograd.TILES[self.kh], winograd.points(self.kh)
        self.Ty, self.Tx = -(-self.OH // self.m), -(-self.OW // self.m)
        self.tiles = self.Ty * self.Tx
        self.rows, self.columns = (n * self.m + self.p - self.m for n in (self.Ty, self.Tx))
        bytes_each = self.p**2 * self.tiles * (self.C + self.J) * self.dtype.itemsize
        self.images = max(1, PIECE_BYTES // bytes_each)
        self.top, self.left = self.padding[0], self.padding[2]

    def set_filters(self, W) -> None:
        self.What = self._transformed("What", W)

    def set_feedback(self, V) -> None:
        # Laid out for the product it is in: a transposed factor would cost half as much again.
        self.Vhat = self.work.array("Vhat", (self.p**2, self.J, self.C), self.dtype)
        self.Vhat[...] = self._transformed("What", V).transpose(0, 2, 1)

    def _transformed(self, name: str, W):
        half = self.work.array("half", (self.p, len(W), self.C * self.J), self.dtype)
        What = self.work.array(name, (self.p**2, self.C, self.J), self.dtype)
        with ONE_BLAS_THREAD:
            winograd.transform_filters(W, half, What)
        return What

    def outputs(self, worker, X, a, e, b, N):
        S = self.scratch("T", worker, self.m, self.p, self.Tx * self.J)
        R = self.scratch("R", worker, self.m * self.J)
        winograd.outputs(
            *self._inputs(worker, X, a, e), self.What, b, self._M(worker, e - a), S, R, N
        )

    def gradients(self, worker, X, a, e, dN, dX, first):
        M = self._M(worker, e - a)
        S = self.scratch("S", worker, self.p, self.m * self.Tx, self.J)
        R = self.scratch("R", worker, self.m * self.OW * self.J)
        winograd.transform_outputs_adjoint(dN, self.m, self.Ty, self.Tx, S, R, M)
        if X is not None:
            total = self.scratch("sum", worker, self.p**2, self.C, self.J)
            winograd.add_filter_part(*self._inputs(worker, X, a, e), M, total, first)
        if dX is not None:
            dU = self.scratch("inputs", worker, self.p**2, (e - a) * self.tiles, self.C)
            P = self.scratch("P", worker, self.rows, self.columns, self.C)
            S = self.scratch("S", worker, self.p, self.p, self.Tx * self.C)
            winograd.input_part(
                M, self.Vhat, dU, a, e, self.top, self.left, self.m, self.Ty, self.Tx, P, S, dX
            )

    def filter_gradient(self, workers, dW):
        total = self._total(workers, (self.p**2, self.C, self.J))
        half = self.work.array("half", (len(dW), self.p, self.C * self.J), self.dtype)
        with ONE_BLAS_THREAD:
            winograd.filter_gradient(total, half, dW)
        limit = self.dtype.type(winograd.LIMIT * np.finfo(self.dtype).eps)
        G = winograd.sizes(len(dW), self.dtype.name)
        winograd.drop_rounding(total.reshape(self.p**2, -1), G, limit, dW.reshape(len(dW) ** 2, -1))

    def _inputs(self, worker, X, a, e):
        """Return the arguments of `winograd.transform_inputs`."""
        U = self.scratch("inputs", worker, self.p**2, (e - a) * self.tiles, self.C)
        P = self.scratch("P", worker, self.rows, self.W, self.C)
        S = self.scratch("S", worker, self.p, self.columns, self.C)
        return X, a, e, self.top, self.left, self.m, self.Ty, self.Tx, P, S, U

    def _M(self, worker, images):
        return self.scratch("products", worker, self.p**2, images * self.tiles, self.J)


class Subsampled(Winograd):
    """Kernels of 3×3 at stride 2: every second output of stride 1, in each direction. Winograd's
    products for all of them are as few as direct ones for those that count."""

    @staticmethod
    def fits(W_shape, stride: int, padding: Padding, dX: bool) -> bool:
        """Whether this is the way to go: for few channels columns are faster."""
        return stride == 2 and W_shape[:2] == (3, 3) and W_shape[2] > 3

    def __init__(self, work, X_shape, W_shape, stride: int, padding: Padding, dtype):
        super().__init__(work, X_shape, W_shape, 1, padding, dtype)
        self.full, self.s = (self.OH, self.OW), stride
        self.OH, self.OW = output_size(self.H, self.W, (self.kh, self.kw), stride, padding)

    def outputs(self, worker, X, a, e, b, N):
        full = self.scratch("full", worker, e - a, *self.full, self.J)
        super().outputs(worker, X, a, e, b, full)
        N[...] = full[:, :: self.s, :: self.s]

    def gradients(self, worker, X, a, e, dN, dX, first):
        full = self.scratch("full", worker, e - a, *self.full, self.J)
        full[...] = 0
        full[:, :: self.s, :: self.s] = dN
        super().gradients(worker, X, a, e, full, dX, first)


class Polyphase(Winograd):
    """Stride s, no dX: a convolution of stride 1 with the s² phases of the image for channels.

    The filters are cut into phases likewise, and filled up with zeros to s·r by s·r.
    """

    @staticmethod
    def fits(W_shape, stride: int, padding: Padding, dX: bool) -> bool:
        """Whether this is the way to go."""
        sides = {-(-size // stride) for size in W_shape[:2]}
        return stride > 1 and not dX and len(sides) == 1 and sides <= winograd.TILES.keys()

    def __init__(self, work, X_shape, W_shape, stride: int, padding: Padding, dtype):
        OH, OW = output_size(*X_shape[1:3], W_shape[:2], stride, padding)
        self.s, self.r, self.W_shape = stride, -(-W_shape[0] // stride), W_shape
        self.shift = padding[0], padding[2]
        C = stride * stride * W_shape[2]
        phases = (X_shape[0], OH + self.r - 1, OW + self.r - 1, C)
        super().__init__(work, phases, (self.r, self.r, C, W_shape[3]), 1, (0, 0, 0, 0), dtype)

    def set_filters(self, W) -> None:
        kh, kw, C, J = self.W_shape
        s, r = self.s, self.r
        full = self.work.array(("full", s, self.W_shape), (r * s, r * s, C, J), self.dtype)
        full[:kh, :kw] = W  # the rest is zero, and stays so
        parts = full.reshape(r, s, r, s, C, J).transpose(0, 2, 1, 3, 4, 5)
        phased = self.work.array("phased", (r, r, s * s * C, J), self.dtype)
        phased.reshape(parts.shape)[...] = parts
        super().set_filters(phased)

    def filter_gradient(self, workers, dW):
        kh, kw, C, J = self.W_shape
        s, r = self.s, self.r
        parts = self.work.array("phased", (r, r, s * s * C, J), self.dtype)
        super().filter_gradient(workers, parts)
        full = parts.reshape(r, r, s, s, C, J).transpose(0, 2, 1, 3, 4, 5)
        for y in range(kh):  # row by row: no copy of the whole
            dW[y] = full[y // s, y % s].reshape(r * s, C, J)[:kw]

    def _inputs(self, worker, X, a, e):
        out = self.scratch("phases", worker, e - a, self.H, self.W, self.C)
        phases(X, a, e, self.s, *self.shift, out)
        return super()._inputs(worker, out, 0, e - a)


class Pointwise(Convolution):
    """Kernels of 1×1 without padding: a product, of every s-th pixel in each direction."""

    @staticmethod
    def fits(W_shape, stride: int, padding: Padding, dX: bool) -> bool:
        """Whether it is one."""
        return W_shape[:2] == (1, 1) and not any(padding)

    def __init__(self, *args):
        super().__init__(*args)
        bytes_each = self.OH * self.OW * (self.C + self.J) * self.dtype.itemsize
        self.images = max(1, PIECE_BYTES // bytes_each)

    def set_filters(self, W) -> None:
        self.W2 = W.reshape(self.C, self.J)

    def set_feedback(self, V) -> None:
        self.V2 = V.reshape(self.C, self.J)

    def outputs(self, worker, X, a, e, b, N):
        np.matmul(self._pixels(worker, X, a, e), self.W2, out=N.reshape(-1, self.J))
        N += b

    def gradients(self, worker, X, a, e, dN, dX, first):
        dN = dN.reshape(-1, self.J)
        if X is not None:
            total = self.scratch("sum", worker, self.C, self.J)
            part = self._pixels(worker, X, a, e).T @ dN
            np.copyto(total, part) if first else np.add(total, part, out=total)
        if dX is not None and self.stride == 1:
            np.matmul(dN, self.V2.T, out=dX[a:e].reshape(-1, self.C))
        elif dX is not None:
            seen = self.scratch("inputs", worker, e - a, self.OH, self.OW, self.C)
            np.matmul(dN, self.V2.T, out=seen.reshape(-1, self.C))
            dX[a:e] = 0
            dX[a:e, :: self.stride, :: self.stride] = seen

    def filter_gradient(self, workers, dW):
        dW[...] = self._total(workers, (self.C, self.J)).reshape(dW.shape)

    def _pixels(self, worker, X, a, e):
        if self.stride == 1:
            return X[a:e].reshape(-1, self.C)
        seen = self.scratch("inputs", worker, e - a, self.OH, self.OW, self.C)
        seen[...] = X[a:e, :: self.stride, :: self.stride]
        return seen.reshape(-1, self.C)


class Columns(Convolution):
    """Any stride and kernel; dX, which first layers do not need, by the plain tier."""

    @staticmethod
    def fits(W_shape, stride: int, padding: Padding, dX: bool) -> bool:
        """Always."""
        return True

    def __init__(self, *args):
        super().__init__(*args)
        top, bottom, left, right = self.padding
        self.K = self.kh * self.kw * self.C
        self.rows, self.width = self.H + top + bottom, -(-(self.W + left + right) // self.stride)
        bytes_each = self.OH * self.width * (self.K + self.J) * self.dtype.itemsize
        self.images = max(1, PIECE_BYTES // bytes_each)

    def set_filters(self, W) -> None:
        self.W2 = W.reshape(self.K, self.J)

    def set_feedback(self, V) -> None:
        self.V = V

    def outputs(self, worker, X, a, e, b, N):
        wide = self.scratch("products", worker, e - a, self.OH, self.width, self.J)
        columns, W = self._columns(worker, X, a, e)[None], self.W2[None]
        add_transposed_products(columns, W, wide.reshape(1, -1, self.J), True)
        narrow(wide, b, N)

    def gradients(self, worker, X, a, e, dN, dX, first):
        if X is not None:
            wide = self.scratch("products", worker, e - a, self.OH, self.width, self.J)
            widen(dN, wide)
            columns, total = (
                self._columns(worker, X, a, e)[None],
                self.scratch("sum", worker, 1, self.K, self.J),
            )
            add_products(columns, wide.reshape(1, -1, self.J), total, first)
        if dX is not None:
            shape = (e - a, *dX.shape[1:])
            dX[a:e] = conv2d_dX(dN, self.V, shape, self.stride, self.padding)

    def filter_gradient(self, workers, dW):
        dW[...] = self._total(workers, (self.K, self.J)).reshape(dW.shape)

    def _columns(self, worker, X, a, e):
        out = self.scratch("inputs", worker, self.K, (e - a) * self.OH * self.width)
        top, left, stride = self.padding[0], self.padding[2], self.stride
        shape = (self.C, self.rows, stride, self.width)
        P = self.work.array(
            ("planes", worker, shape, self.padding, self.H, self.W), shape, self.dtype
        )
        columns(X, a, e, self.kh, self.kw, stride, top, left, self.OH, P, out)
        return out
