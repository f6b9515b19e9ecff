"""The plain tier's operations by the kernels of kernels.cu, with the same signatures.

A device that has `compile` gives it functions of CUDA C: CuPy's on a GPU. Matrix products are
cuBLAS's.
"""

from collections import Counter
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from minibp.device import Array, Device, namespace
from minibp.errors import InputError
from minibp.ops.cuda.blas import Blas
from minibp.ops.update import FROZEN, KEEP, Feedback, Update
from minibp.ops.window import Padding, Pair, output_size

THREADS = 256  # of a block
CHUNKS = 256  # of rows, in a sum over the batch and all positions, at most
MOST = 1 << 30  # elements of an array: indices are of 32 bits
NO_KEY = np.zeros(2, "uint64")
REAL = {"float32": "float", "float64": "double"}


class Number:
    """A number in the device's memory, where a replayed step reads it, and its value as the host
    knows it."""

    def __init__(self, device: Device, dtype: str):
        self.array, self.value = device.xp.zeros(1, dtype), 0

    def set(self, value: float) -> None:
        """Write another value; the same one costs nothing."""
        if value != self.value:
            self.array.fill(value)
            self.value = value


class CudaOps:
    """The operations, for arrays of one device. `launches` counts what was asked of it, by name.

    math  of matrix products: "float32" or "tf32"
    """

    def __init__(self, device: Device, math: str = "float32"):
        self.device, self.xp, self.blas = device, device.xp, Blas(device, math)
        source = (resources.files("minibp.ops.cuda") / "kernels.cu").read_text(encoding="utf-8")
        self._module = cache(lambda dtype: device.compile(source, REAL=REAL[dtype]))
        self._key = cache(lambda words: device.asarray(np.frombuffer(words, "uint64")))
        self.rate, self.step = Number(device, "float64"), Number(device, "int32")
        self.launches: Counter[str] = Counter()

    def launch(self, kernel: str, dtype: Any, n: int, *arguments: Any) -> None:
        """Run a kernel with a thread for each of n elements. Arrays must be dense."""
        if n >= MOST:
            raise InputError(
                f"an array of {n} elements is too large for the GPU's kernels: expected fewer than "
                f"{MOST}. Choose a smaller batch."
            )
        self.launches[kernel] += 1
        blocks = max(1, -(-n // THREADS))
        passed = [np.int32(value) if type(value) is int else value for value in arguments]
        self._module(str(dtype))(kernel)((blocks,), (THREADS,), tuple(passed))

    def linear(self, X: Array, W: Array, b: Array | None) -> Array:
        N = self._product(X, W)
        return N if b is None else self._biased(N, b)

    def linear_dW(self, X: Array, dN: Array) -> Array:
        return self._product(X, dN, turned=(True, False))

    def linear_dX(self, dN: Array, V: Array) -> Array:
        return self._product(dN, V, turned=(False, True))

    def conv2d(self, X: Array, W: Array, b: Array | None, stride: int, padding: Padding) -> Array:
        namespace(X, W, b)
        columns, (OH, OW) = self._columns(X, W.shape[:2], stride, padding)
        N = self._product(columns, W.reshape(-1, W.shape[3]))
        if b is not None:
            self._biased(N, b)
        return N.reshape(len(X), OH, OW, W.shape[3])

    def conv2d_dW(self, X: Array, dN: Array, kernel: Pair, stride: int, padding: Padding) -> Array:
        namespace(X, dN)
        columns, (OH, OW) = self._columns(X, kernel, stride, padding)
        _check(dN.shape, (len(X), OH, OW, dN.shape[-1]))
        dW = self._product(columns, dN.reshape(-1, dN.shape[3]), turned=(True, False))
        return dW.reshape(*kernel, X.shape[3], -1)

    def conv2d_dX(
        self, dN: Array, V: Array, shape: tuple[int, ...], stride: int, padding: Padding
    ) -> Array:
        namespace(dN, V)
        sizes = _geometry(shape, V.shape[:2], stride, padding)
        _check(dN.shape, (shape[0], *sizes[-2:], V.shape[3]))
        matrices = (dN.reshape(-1, dN.shape[3]), V.reshape(-1, V.shape[3]))
        columns = self._product(*matrices, turned=(False, True))
        dX = self.xp.empty(shape, dN.dtype)
        self.launch("col2im", dX.dtype, dX.size, columns, dX, *sizes)
        return dX

    def relu(self, N: Array) -> Array:
        return self._elementwise("relu", N)

    def relu_dN(self, N: Array, dY: Array) -> Array:
        _check(dY.shape, N.shape)
        return self._elementwise("relu_dN", N, dY)

    def cross_entropy(self, N: Array, labels: Array) -> tuple[Array, Array]:
        namespace(N, labels)
        N, labels = self._dense(N), self._dense(labels.astype("int32", copy=False))
        dN, losses = self.xp.empty(N.shape, N.dtype), self.xp.empty(len(N), N.dtype)
        self.launch("cross_entropy_rows", N.dtype, len(N), N, labels, dN, losses, *N.shape)
        E = self.xp.empty(1, N.dtype)
        self.launch("total", N.dtype, 1, losses, E, 1, len(N), 1 / len(N))
        return E.reshape(()), dN

    def max_pool(self, X: Array, window: Pair, stride: int, padding: Padding):
        X, sizes = self._dense(X), _geometry(X.shape, window, stride, padding)
        shape = (len(X), *sizes[-2:], X.shape[3])
        Y, first = self.xp.empty(shape, X.dtype), self.xp.empty(shape, "int16")
        self.launch("max_pool", X.dtype, Y.size, X, Y, first, *sizes)
        return Y, first

    def max_pool_dX(self, dY: Array, first: Array, shape, window: Pair, stride: int, padding):
        dX = self.xp.empty(shape, dY.dtype)
        sizes = _geometry(shape, window, stride, padding)
        _check(dY.shape, (shape[0], *sizes[-2:], shape[3]))
        self.launch(
            "max_pool_dX", dX.dtype, dX.size, self._dense(dY), self._dense(first), dX, *sizes
        )
        return dX

    def avg_pool(self, X: Array, window: Pair, stride: int, padding: Padding) -> Array:
        X, sizes = self._dense(X), _geometry(X.shape, window, stride, padding)
        Y = self.xp.empty((len(X), *sizes[-2:], X.shape[3]), X.dtype)
        self.launch("avg_pool", X.dtype, Y.size, X, Y, *sizes)
        return Y

    def avg_pool_dX(self, dY: Array, shape, window: Pair, stride: int, padding: Padding) -> Array:
        dX = self.xp.empty(shape, dY.dtype)
        sizes = _geometry(shape, window, stride, padding)
        _check(dY.shape, (shape[0], *sizes[-2:], shape[3]))
        self.launch("avg_pool_dX", dX.dtype, dX.size, self._dense(dY), dX, *sizes)
        return dX

    def feature_sum(self, X: Array) -> Array:
        return self._total("chunk_sums", X)

    def normalize(self, X: Array, eps: float) -> tuple[Array, Array, Array]:
        X, C = self._dense(X), X.shape[-1]
        mean = self._total("chunk_sums", X, scale=C / X.size)
        sums, chunks = self._sums("chunk_squares", X, mean)
        std, Xhat = self.xp.empty(C, X.dtype), self.xp.empty(X.shape, X.dtype)
        self.launch("spread_of", X.dtype, C, sums, std, C, chunks, C / X.size, float(eps))
        self.launch("normalize", X.dtype, X.size, X, mean, std, Xhat, X.size, C)
        return Xhat, mean, std

    def normalize_dX(self, dXhat: Array, Xhat: Array, std: Array) -> Array:
        namespace(dXhat, Xhat, std)
        _check(dXhat.shape, Xhat.shape)
        dXhat, Xhat, C = self._dense(dXhat), self._dense(Xhat), Xhat.shape[-1]
        share, dX = C / Xhat.size, self.xp.empty(Xhat.shape, Xhat.dtype)
        mean = self._total("chunk_sums", dXhat, scale=share)
        slope = self._total("chunk_products", dXhat, Xhat, scale=share)
        arrays = (dXhat, Xhat, std, mean, slope, dX)
        self.launch("normalize_dX", dX.dtype, dX.size, *arrays, dX.size, C)
        return dX

    def update(self, updates: list[Update]) -> None:
        """Do Eq. 3, and set each V, in place and in one pass."""
        for update in updates:
            w = update.w
            feedback = update.feedback or Feedback(KEEP, w)
            key, step = feedback.stream or (NO_KEY, self.step.value)
            if update.setting != FROZEN:
                self.rate.set(update.rate)
            self.step.set(step)
            M, S = (w if array is None else array for array in (feedback.M, feedback.S))
            self.launch(
                "update_and_refresh",
                *(w.dtype, -(-w.size // 8)),  # a thread for eight elements: one block of Philox
                *(update.setting, self._dense(update.g), w, update.memory),
                *(float(update.m), float(update.d), self.rate.array, float(update.multiplier)),
                *(feedback.kind, M, S, float(feedback.c), feedback.V, float(feedback.p)),
                *(int(feedback.stream is not None), self._key(key.tobytes())),
                *(self.step.array, w.size),
            )

    def gather(self, data: Array, labels: Array, order: Array, start: Number, form: Any, B: int):
        """Return the next B samples of the data, and their labels: those of numbers
        order[start] …, as inputs (x − centre) / scale.

        form  (centre, scale), each an array of a sample's shape
        """
        X, y = self.xp.empty((B, *data.shape[1:]), form[0].dtype), self.xp.empty(B, "int32")
        kernel = "gather_bytes" if str(data.dtype) == "uint8" else "gather_reals"
        arrays = (data, labels, order, start.array, *form, X, y)
        self.launch(kernel, X.dtype, X.size, *arrays, B, X.size // B)
        return X, y

    def tick(self, total: Array, E: Array, B: int, start: Number) -> None:
        """End a step of B samples: total += B E, and the device's counts go on; the host's with
        `ticked`."""
        self.launch("tick", total.dtype, 1, total, E, B, start.array, self.step.array)

    def _product(self, A: Array, B: Array, turned: tuple[bool, bool] = (False, False)) -> Array:
        namespace(A, B)
        A, B = self._dense(A), self._dense(B)
        rows, summed = A.shape[::-1] if turned[0] else A.shape
        expected, columns = B.shape[::-1] if turned[1] else B.shape
        if summed != expected or A.dtype != B.dtype:
            raise ValueError(f"no product of {A.shape} {A.dtype} and {B.shape} {B.dtype}: {turned}")
        C = self.xp.empty((rows, columns), A.dtype)
        self.launches["product"] += 1
        self.blas.product(A, B, C, turned)
        return C

    def _columns(self, X: Array, kernel: Pair, stride: int, padding: Padding):
        """Return the columns (B·OH·OW, kh·kw·C) of X (B, H, W, C), and (OH, OW)."""
        X, sizes = self._dense(X), _geometry(X.shape, kernel, stride, padding)
        OH, OW = sizes[-2:]
        columns = self.xp.empty((len(X) * OH * OW, kernel[0] * kernel[1] * X.shape[3]), X.dtype)
        self.launch("im2col", X.dtype, columns.size, X, columns, *sizes)
        return columns, (OH, OW)

    def _biased(self, N: Array, b: Array) -> Array:
        self.launch("add_bias", N.dtype, N.size, N, b, *N.shape)
        return N

    def _elementwise(self, kernel: str, *arrays: Array) -> Array:
        namespace(*arrays)
        out = self.xp.empty(arrays[0].shape, arrays[0].dtype)
        self.launch(kernel, out.dtype, out.size, *map(self._dense, arrays), out, out.size)
        return out

    def _sums(self, kernel: str, *arrays: Array) -> tuple[Array, int]:
        """Return sums (chunks, C) over chunks of the rows, and how many chunks there are."""
        C = arrays[0].shape[-1]
        rows = arrays[0].size // C
        chunks = min(CHUNKS, rows)
        sums = self.xp.empty((chunks, C), arrays[0].dtype)
        self.launch(kernel, sums.dtype, sums.size, *arrays, sums, rows, C, chunks)
        return sums, chunks

    def _total(self, kernel: str, *arrays: Array, scale: float = 1.0) -> Array:
        sums, chunks = self._sums(kernel, *map(self._dense, arrays))
        out = self.xp.empty(sums.shape[1], sums.dtype)
        self.launch("total", out.dtype, out.size, sums, out, out.size, chunks, float(scale))
        return out

    def _dense(self, array: Array) -> Array:
        return array if array.flags.c_contiguous else self.xp.ascontiguousarray(array)


def _check(given: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError for an error of the wrong shape: a kernel would read beyond its end."""
    if given != expected:
        raise ValueError(f"the error has shape {given}, expected {expected}.")


def _geometry(shape: tuple[int, ...], window: Pair, stride: int, padding: Padding):
    """Return what every kernel of windows takes: B, H, W, C, kh, kw, stride, top, left, OH, OW."""
    OH, OW = output_size(*shape[1:3], window, stride, padding)
    return (*shape, *window, stride, padding[0], padding[2], OH, OW)
