"""The CUDA tier's arithmetic, by the kernels of kernels.cu.

A device that `compiles` gives it functions of CUDA C: CuPy's on a GPU. Matrix products are
cuBLAS's.
"""

import math
from collections import Counter
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from minibp.device import Array, Device, namespace
from minibp.errors import InputError
from minibp.ops import plain
from minibp.ops.contract import Ops
from minibp.ops.cuda.blas import Blas
from minibp.ops.window import Padding, Pair, output_size

THREADS = 256  # of a block
CHUNK = 32  # rows, or chunks of them, that one thread adds up: more threads would wait for memory
MOST = 1 << 30  # elements of an array: indices are of 32 bits
REAL = {"float32": "float", "float64": "double"}
WINDOWS = np.dtype(  # as kernels.cu has it
    [(name, "i4") for name in "B H W C kh kw stride top left OH OW cells".split()]
    + [
        (f"by_{name}", [("magic", "u4"), ("shift", "i4")])
        for name in "H W C kw OH OW cells".split()
    ]
)


class DeviceScalar:
    """A number in the device's memory, where a replayed step reads it, and its value as the host
    knows it."""

    def __init__(self, device: Device, dtype: str):
        self.array, self.value = device.xp.zeros(1, dtype), 0

    def set(self, value: float) -> None:
        """Write another value; the same one costs nothing."""
        if value != self.value:
            self.array.fill(value)
            self.value = value


class CudaArithmetic(Ops):
    """The operations on arrays of one device. `launches` counts what was asked of it, by name.

    matmul  of matrix products: "float32" or "tf32"
    """

    def __init__(self, device: Device, matmul: str = "float32"):
        self.device, self.xp, self.blas = device, device.xp, Blas.of(device, matmul)
        source = (resources.files("minibp.ops.cuda") / "kernels.cu").read_text(encoding="utf-8")
        self._module = cache(lambda dtype: device.compile(source, REAL=REAL[dtype]))
        self._kernel = cache(lambda dtype, name: self._module(dtype)(name))
        self.key = cache(lambda words: device.asarray(np.frombuffer(words, "uint64")))
        self.rate, self.step = DeviceScalar(device, "float64"), DeviceScalar(device, "int32")
        self.launches: Counter[str] = Counter()
        self._constants: dict[tuple, Array] = {}
        self._windows: dict[tuple, np.ndarray] = {}

    def __reduce__(self) -> tuple:
        """A copy compiles anew, and begins with nothing kept."""
        return type(self), (self.device, self.blas.math)

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
        self._kernel(str(dtype), kernel)((blocks,), (THREADS,), tuple(passed))

    def constant(self, value: float, size: int, dtype: Any) -> Array:
        """Return an array of one value, kept: it is not to be written to."""
        key = (value, size, str(dtype))
        if key not in self._constants:
            self._constants[key] = self.xp.full(size, value, dtype)
        return self._constants[key]

    def linear(self, X: Array, W: Array, b: Array | None) -> Array:
        N = self.product(X, W)
        return N if b is None else self.biased(N, b)

    def linear_dW(self, X: Array, dN: Array) -> Array:
        return self.product(X, dN, transposed=(True, False))

    def linear_dX(self, dN: Array, V: Array) -> Array:
        return self.product(dN, V, transposed=(False, True))

    def conv2d(self, X: Array, W: Array, b: Array | None, stride: int, padding: Padding) -> Array:
        namespace(X, W, b)
        columns, (OH, OW) = self.columns(X, W.shape[:2], stride, padding)
        N = self.product(columns, W.reshape(-1, W.shape[3]))
        if b is not None:
            self.biased(N, b)
        return N.reshape(len(X), OH, OW, W.shape[3])

    def conv2d_dW(self, X: Array, dN: Array, kernel: Pair, stride: int, padding: Padding) -> Array:
        namespace(X, dN)
        columns, (OH, OW) = self.columns(X, kernel, stride, padding)
        _check(dN.shape, (len(X), OH, OW, dN.shape[-1]))
        dW = self.product(columns, dN.reshape(-1, dN.shape[3]), transposed=(True, False))
        return dW.reshape(*kernel, X.shape[3], -1)

    def conv2d_dX(
        self, dN: Array, V: Array, shape: tuple[int, ...], stride: int, padding: Padding
    ) -> Array:
        namespace(dN, V)
        windows, size = self.windows(shape, V.shape[:2], stride, padding)
        _check(dN.shape, (shape[0], *size, V.shape[3]))
        matrices = (dN.reshape(-1, dN.shape[3]), V.reshape(-1, V.shape[3]))
        columns = self.product(*matrices, transposed=(False, True))
        dX = self.xp.empty(shape, dN.dtype)
        self.launch("col2im", dX.dtype, dX.size, columns, dX, windows)
        return dX

    def relu(self, N: Array) -> Array:
        return self._elementwise("relu", N)

    def relu_dN(self, N: Array, dY: Array) -> Array:
        _check(dY.shape, N.shape)
        return self._elementwise("relu_dN", N, dY)

    # Smooth transfer functions are rare enough for array code.
    sigmoid, sigmoid_dN = map(staticmethod, (plain.sigmoid, plain.sigmoid_dN))
    tanh, tanh_dN = map(staticmethod, (plain.tanh, plain.tanh_dN))

    def add(self, A: Array, B: Array) -> Array:
        _check(B.shape, A.shape)
        return self._elementwise("add", A, B)

    def cross_entropy(self, N: Array, labels: Array) -> tuple[Array, Array]:
        namespace(N, labels)
        N, labels = self.dense(N), self.dense(labels.astype("int32", copy=False))
        dN, losses = self.xp.empty(N.shape, N.dtype), self.xp.empty(len(N), N.dtype)
        self.launch("cross_entropy_rows", N.dtype, len(N), N, labels, dN, losses, *N.shape)
        E = self.xp.empty(1, N.dtype)
        self.launch("total", N.dtype, 1, losses, E, 1, 1, len(N), 1 / len(N))
        return E.reshape(()), dN

    def max_pool(self, X: Array, window: Pair, stride: int, padding: Padding):
        X, (windows, size) = self.dense(X), self.windows(X.shape, window, stride, padding)
        shape = (len(X), *size, X.shape[3])
        Y, first = self.xp.empty(shape, X.dtype), self.xp.empty(shape, "int16")
        self.launch("max_pool", X.dtype, Y.size, X, Y, first, windows)
        return Y, first

    def max_pool_dX(self, dY: Array, first: Array, shape, window: Pair, stride: int, padding):
        dX = self.xp.empty(shape, dY.dtype)
        windows, size = self.windows(shape, window, stride, padding)
        _check(dY.shape, (shape[0], *size, shape[3]))
        self.launch(
            "max_pool_dX", dX.dtype, dX.size, self.dense(dY), self.dense(first), dX, windows
        )
        return dX

    def avg_pool(self, X: Array, window: Pair, stride: int, padding: Padding) -> Array:
        X, (windows, size) = self.dense(X), self.windows(X.shape, window, stride, padding)
        Y = self.xp.empty((len(X), *size, X.shape[3]), X.dtype)
        self.launch("avg_pool", X.dtype, Y.size, X, Y, windows)
        return Y

    def avg_pool_dX(self, dY: Array, shape, window: Pair, stride: int, padding: Padding) -> Array:
        dX = self.xp.empty(shape, dY.dtype)
        windows, size = self.windows(shape, window, stride, padding)
        _check(dY.shape, (shape[0], *size, shape[3]))
        self.launch("avg_pool_dX", dX.dtype, dX.size, self.dense(dY), dX, windows)
        return dX

    def feature_sum(self, X: Array) -> Array:
        return self._total(*self._sums("chunk_sums", 1, X))[0]

    def normalize(self, X: Array, eps: float) -> tuple[Array, Array, Array]:
        X = self.dense(X)
        mean, std = self.moments(X, eps)
        Xhat = self.xp.empty(X.shape, X.dtype)
        self.launch("normalize", X.dtype, X.size, X, mean, std, Xhat, X.size, X.shape[-1])
        return Xhat, mean, std

    def normalize_dX(self, dXhat: Array, Xhat: Array, std: Array) -> Array:
        namespace(dXhat, Xhat, std)
        _check(dXhat.shape, Xhat.shape)
        one = self.constant(1, std.size, std.dtype)
        sums = self.gradient_sums(dXhat, Xhat, one, std, normalized=True)
        return self.input_gradient(dXhat, Xhat, one, std, one, sums, normalized=True)

    def moments(self, X: Array, eps: float) -> tuple[Array, Array]:
        """Return μ and s = √(σ² + ε) of each feature."""
        sums, chunks, rows = self._sums("chunk_moments", 2, X)
        mean, std = (self.xp.empty(X.shape[-1], X.dtype) for _ in range(2))
        C, groups = std.size, _groups(chunks)
        if groups < chunks:
            parts, sums = sums, self.xp.empty((2, groups, C), X.dtype)
            sizes = (rows, C, chunks, groups)
            self.launch("group_moments", X.dtype, groups * C, parts, sums, *sizes)
        sizes = (rows, C, chunks, groups)
        self.launch("moments", X.dtype, C, sums, mean, std, *sizes, float(eps))
        return mean, std

    def gradient_sums(
        self, dZ: Array, X: Array, mean: Array, std: Array, *, normalized: bool
    ) -> Array:
        """Return (2, C): of each feature Σ dZ and Σ dZ ∘ X̂; X is X̂ if it is `normalized`."""
        arrays = (dZ, X, mean, std)
        return self._total(
            *self._sums("chunk_gradient_sums", 2, *arrays, options=(int(normalized),))
        )

    def input_gradient(
        self, dZ: Array, X: Array, mean: Array, std: Array, scale: Array, sums: Array, *, normalized
    ) -> Array:
        """Return dX, from dZ and its `gradient_sums`."""
        dZ, X, dX = self.dense(dZ), self.dense(X), self.xp.empty(X.shape, X.dtype)
        C = X.shape[-1]
        arrays = (dZ, X, mean, std, int(normalized), scale, sums, dX)
        self.launch("normalize_dX", dX.dtype, dX.size, *arrays, dX.size // C, C)
        return dX

    def product(self, A: Array, B: Array, transposed: tuple[bool, bool] = (False, False)) -> Array:
        """Return A B; `transposed`: whether the transpose of A, of B enters."""
        namespace(A, B)
        A, B = self.dense(A), self.dense(B)
        rows, summed = A.shape[::-1] if transposed[0] else A.shape
        expected, columns = B.shape[::-1] if transposed[1] else B.shape
        if summed != expected or A.dtype != B.dtype:
            raise ValueError(
                f"no product of {A.shape} {A.dtype} and {B.shape} {B.dtype}: {transposed}"
            )
        C = self.xp.empty((rows, columns), A.dtype)
        self.launches["product"] += 1
        self.blas.product(A, B, C, transposed)
        return C

    def columns(self, X: Array, kernel: Pair, stride: int, padding: Padding):
        """Return the columns (B·OH·OW, kh·kw·C) of X (B, H, W, C), and (OH, OW)."""
        X, (B, H, W, C) = self.dense(X), X.shape
        name, at_once = ("im2col_quads", 4) if C % 4 == 0 else ("im2col", 1)
        windows, (OH, OW) = self.windows((B, H, W, C // at_once), kernel, stride, padding)
        columns = self.xp.empty((B * OH * OW, kernel[0] * kernel[1] * C), X.dtype)
        self.launch(name, X.dtype, columns.size // at_once, X, columns, windows)
        return columns, (OH, OW)

    def windows(
        self, shape: tuple[int, ...], window: Pair, stride: int, padding: Padding
    ) -> tuple[np.ndarray, Pair]:
        """Return the kernels' Windows, and (OH, OW)."""
        OH, OW = output_size(*shape[1:3], window, stride, padding)
        given = (*shape, *window, stride, padding[0], padding[2], OH, OW)
        if given not in self._windows:
            (_, H, W, C), (kh, kw) = shape, window
            dividers = map(divider, (H, W, C, kw, OH, OW, kh * kw))
            self._windows[given] = np.array((*given, kh * kw, *dividers), WINDOWS)
        return self._windows[given], (OH, OW)

    def biased(self, N: Array, b: Array) -> Array:
        """Add b to every row of N (…, J), in place; return it."""
        self.launch("add_bias", N.dtype, N.size, N, b, N.size // b.size, b.size)
        return N

    def _elementwise(self, kernel: str, *arrays: Array) -> Array:
        namespace(*arrays)
        out = self.xp.empty(arrays[0].shape, arrays[0].dtype)
        self.launch(kernel, out.dtype, out.size, *map(self.dense, arrays), out, out.size)
        return out

    def _sums(self, kernel: str, parts: int, *arrays: Array, options: tuple[int, ...] = ()):
        """Return sums (parts, chunks, C) over chunks of the rows, how many chunks and rows."""
        arrays = tuple(map(self.dense, arrays))
        C = arrays[0].shape[-1]
        rows = arrays[0].size // C
        chunks = -(-rows // CHUNK)
        sums = self.xp.empty((parts, chunks, C), arrays[0].dtype)
        self.launch(kernel, sums.dtype, chunks * C, *arrays, *options, sums, rows, C, chunks)
        return sums, chunks, rows

    def _total(self, sums: Array, chunks: int, rows: int) -> Array:
        parts, _, C = sums.shape
        groups = _groups(chunks)
        if groups < chunks:
            each, sums = sums, self.xp.empty((parts, groups, C), sums.dtype)
            self.launch("group_sums", sums.dtype, sums.size, each, sums, parts, C, chunks, groups)
        out = self.xp.empty((parts, C), sums.dtype)
        self.launch("total", out.dtype, out.size, sums, out, parts, C, groups, 1.0)
        return out

    def dense(self, array: Array) -> Array:
        """Return the array, or a copy in one piece."""
        return array if array.flags.c_contiguous else self.xp.ascontiguousarray(array)


def _groups(chunks: int) -> int:
    """Return how many groups the chunks of a sum are put into: as many as chunks if those are few,
    else as many as there are chunks in each."""
    return chunks if chunks <= CHUNK else math.isqrt(chunks)


def _check(given: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError for an error of the wrong shape: a kernel would read beyond its end."""
    if given != expected:
        raise ValueError(f"the error has shape {given}, expected {expected}.")


def divider(by: int) -> tuple[int, int]:
    """Return (magic, shift) with n // by = n · magic >> shift for each 0 ≤ n < 2³⁰.

    magic is 2^shift / by, rounded up. By that n · magic / 2^shift is too large by less than
    n / 2^shift ≤ 1 / by, so that no whole number is passed.
    """
    shift = 30 + (by - 1).bit_length()
    return -(-(1 << shift) // by), shift
