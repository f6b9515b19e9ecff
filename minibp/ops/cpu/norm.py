"""Batch Normalization, rows (positions of all images) by features."""

import numpy as np

from minibp.ops.cpu.jit import kernel


@kernel
def column_sum(X, out):
    """out (C,) += Σ over the rows of X (M, C)."""
    for i in range(X.shape[0]):
        row = X[i]
        for c in range(X.shape[1]):
            out[c] += row[c]


@kernel
def moments(X, shift, total, squares):
    """total += Σ (X − shift) and squares += Σ (X − shift)² over the rows of X (M, C).

    Taken from a shift near the mean, the variance does not cancel; blocks of rows are summed in X's
    own precision, and their sums in double.
    """
    M, C = X.shape
    s, q = np.empty(C, X.dtype), np.empty(C, X.dtype)
    for block in range(0, M, 256):
        s[:] = 0
        q[:] = 0
        for i in range(block, min(block + 256, M)):
            row = X[i]
            for c in range(C):
                s[c] += row[c] - shift[c]
            for c in range(C):
                d = row[c] - shift[c]
                q[c] += d * d
        for c in range(C):
            total[c] += s[c]
            squares[c] += q[c]


@kernel
def affine(X, mean, slope, shift, Y):
    """Y = (X − mean) ∘ slope + shift for each feature: X, Y (M, C)."""
    for i in range(X.shape[0]):
        x, y = X[i], Y[i]
        for c in range(X.shape[1]):
            y[c] = (x[c] - mean[c]) * slope[c] + shift[c]


@kernel
def gradient_sums(dY, X, mean, inverse, total, slope):
    """total += Σ dY and slope += Σ dY ∘ X̂ over the rows, X̂ = (X − mean) ∘ inverse."""
    M, C = X.shape
    s, q = np.empty(C, X.dtype), np.empty(C, X.dtype)
    for block in range(0, M, 256):
        s[:] = 0
        q[:] = 0
        for i in range(block, min(block + 256, M)):
            x, d = X[i], dY[i]
            for c in range(C):
                s[c] += d[c]
            for c in range(C):
                q[c] += d[c] * (x[c] - mean[c])
        for c in range(C):
            total[c] += s[c]
            slope[c] += q[c] * inverse[c]


@kernel
def input_gradient(dY, X, mean, inverse, gain, share, slope, dX):
    """dX = (dY − share − X̂ ∘ slope) ∘ gain, where share and slope are the means of dY and dY ∘ X̂,
    and gain is inverse ∘ scale."""
    M, C = X.shape
    steep = np.empty(C, X.dtype)
    for c in range(C):
        steep[c] = slope[c] * inverse[c]
    for i in range(M):
        x, d, out = X[i], dY[i], dX[i]
        for c in range(C):
            out[c] = (d[c] - share[c] - (x[c] - mean[c]) * steep[c]) * gain[c]


class Moments:
    """Each feature's mean and deviation, gathered piece by piece by several threads."""

    def __init__(self, workers: int, C: int, dtype: object):
        self.shift = np.zeros((workers, C), dtype)
        self.sums = np.zeros((workers, 2, C))
        self.counts = np.zeros(workers)

    def add(self, worker: int, X: np.ndarray) -> None:
        """Take in X (M, C), M ≥ 1."""
        if self.counts[worker] == 0:
            self.shift[worker] = X[0]
        moments(X, self.shift[worker], *self.sums[worker])
        self.counts[worker] += len(X)

    def mean_and_std(self, eps: float) -> tuple[np.ndarray, np.ndarray]:
        """Return μ and √(σ² + ε), each (C,); σ² is the biased variance."""
        used = self.counts > 0
        n, s, q = self.counts[used, None], self.sums[used, 0], self.sums[used, 1]
        means = self.shift[used] + s / n
        mean = (n * means).sum(axis=0) / n.sum()
        within = np.maximum(q - s * s / n, 0)
        variance = (within + n * (means - mean) ** 2).sum(axis=0) / n.sum()
        dtype = self.shift.dtype
        return mean.astype(dtype), np.sqrt(variance + eps).astype(dtype)
