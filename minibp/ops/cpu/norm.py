"""Batch Normalization, rows (positions of all images) by features.

The loops run over runs of several rows at once, with each feature's numbers repeated likewise: with
few features, a loop of a row would be too short.
"""

import numpy as np

from minibp.ops.cpu.jit import kernel

RUN = 128  # elements, about
BLOCK = 64  # runs that are summed up in X's own precision; their sums are added in double


@kernel
def _repeat(x, length):
    out = np.empty(length, x.dtype)
    for i in range(length):
        out[i] = x[i % x.size]
    return out


@kernel
def _run_length(C):
    return C * max(1, RUN // C)


@kernel
def _fold(run, total):
    """total (C,) += the parts of a run."""
    for i in range(run.size):
        total[i % total.size] += run[i]
    run[:] = 0


@kernel
def column_sum(X, total):
    """total (C,) += Σ over the rows of X (M, C)."""
    L = _run_length(X.shape[1])
    X, s, runs = X.reshape(-1), np.zeros(L, X.dtype), 0
    for start in range(0, X.size, L):
        x = X[start : start + L]
        for i in range(x.size):
            s[i] += x[i]
        runs += 1
        if runs % BLOCK == 0:
            _fold(s, total)
    _fold(s, total)


@kernel
def moments(X, shift, total, squares):
    """total += Σ (X − shift) and squares += Σ (X − shift)² over the rows of X (M, C).

    Taken from a shift near the mean, the variance does not cancel.
    """
    L = _run_length(X.shape[1])
    shift, s, q = _repeat(shift, L), np.zeros(L, X.dtype), np.zeros(L, X.dtype)
    X, runs = X.reshape(-1), 0
    for start in range(0, X.size, L):
        x = X[start : start + L]
        for i in range(x.size):
            s[i] += x[i] - shift[i]
        for i in range(x.size):
            q[i] += (x[i] - shift[i]) * (x[i] - shift[i])
        runs += 1
        if runs % BLOCK == 0:
            _fold(s, total)
            _fold(q, squares)
    _fold(s, total)
    _fold(q, squares)


@kernel
def affine(X, mean, slope, shift, Y):
    """Y = (X − mean) ∘ slope + shift for each feature: X, Y (M, C)."""
    L = _run_length(X.shape[1])
    mean, slope, shift = _repeat(mean, L), _repeat(slope, L), _repeat(shift, L)
    X, Y = X.reshape(-1), Y.reshape(-1)
    for start in range(0, X.size, L):
        x, y = X[start : start + L], Y[start : start + L]
        for i in range(x.size):
            y[i] = (x[i] - mean[i]) * slope[i] + shift[i]


@kernel
def affine_relu(X, mean, slope, shift, added, relu, Y):
    """The same, + added (M, C) unless that is empty, with the rectifier after it if `relu`; NaN
    goes through."""
    L = _run_length(X.shape[1])
    mean, slope, shift = _repeat(mean, L), _repeat(slope, L), _repeat(shift, L)
    X, Y, added, zero = X.reshape(-1), Y.reshape(-1), added.reshape(-1), Y.dtype.type(0)
    for start in range(0, X.size, L):
        x, y = X[start : start + L], Y[start : start + L]
        for i in range(x.size):
            y[i] = (x[i] - mean[i]) * slope[i] + shift[i]
        if added.size:
            more = added[start : start + L]
            for i in range(x.size):
                y[i] += more[i]
        if relu:
            for i in range(x.size):
                y[i] = zero if y[i] <= zero else y[i]


@kernel
def gradient_sums(dY, X, mean, inverse, total, slope):
    """total += Σ dY and slope += Σ dY ∘ X̂ over the rows, X̂ = (X − mean) ∘ inverse."""
    L = _run_length(X.shape[1])
    mean, inverse = _repeat(mean, L), _repeat(inverse, L)
    s, q, runs = np.zeros(L, X.dtype), np.zeros(L, X.dtype), 0
    X, dY = X.reshape(-1), dY.reshape(-1)
    for start in range(0, X.size, L):
        x, d = X[start : start + L], dY[start : start + L]
        for i in range(x.size):
            s[i] += d[i]
        for i in range(x.size):
            q[i] += d[i] * (x[i] - mean[i]) * inverse[i]
        runs += 1
        if runs % BLOCK == 0:
            _fold(s, total)
            _fold(q, slope)
    _fold(s, total)
    _fold(q, slope)


@kernel
def rectified_gradient_sums(dY, Y, relu, X, mean, inverse, total, slope):
    """The same of dZ = dY ∘ [Y > 0], if `relu`, in place of dY."""
    L = _run_length(X.shape[1])
    mean, inverse = _repeat(mean, L), _repeat(inverse, L)
    s, q, runs = np.zeros(L, X.dtype), np.zeros(L, X.dtype), 0
    X, dY, Y = X.reshape(-1), dY.reshape(-1), Y.reshape(-1)
    zero, one = X.dtype.type(0), X.dtype.type(1)
    dZ = np.empty(L, X.dtype)
    for start in range(0, X.size, L):
        x, d, y = X[start : start + L], dY[start : start + L], Y[start : start + L]
        for i in range(x.size):
            dZ[i] = d[i] * (one if not relu or y[i] > zero else zero)
        for i in range(x.size):
            s[i] += dZ[i]
        for i in range(x.size):
            q[i] += dZ[i] * (x[i] - mean[i]) * inverse[i]
        runs += 1
        if runs % BLOCK == 0:
            _fold(s, total)
            _fold(q, slope)
    _fold(s, total)
    _fold(q, slope)


@kernel
def pooled_gradient_sums(dY, Y, code, total, slope):
    """The same from pooled images, where X̂ has neither scale nor shift: Y, dY (M, C) of which the
    elements with code ≥ 0 went on, and there Y is X̂."""
    L = _run_length(Y.shape[1])
    s, q, runs = np.zeros(L, Y.dtype), np.zeros(L, Y.dtype), 0
    Y, dY, code, zero = Y.reshape(-1), dY.reshape(-1), code.reshape(-1), Y.dtype.type(0)
    for start in range(0, Y.size, L):
        y, d, on = Y[start : start + L], dY[start : start + L], code[start : start + L]
        for i in range(y.size):
            s[i] += d[i] if on[i] >= 0 else zero
        for i in range(y.size):
            q[i] += d[i] * y[i] if on[i] >= 0 else zero
        runs += 1
        if runs % BLOCK == 0:
            _fold(s, total)
            _fold(q, slope)
    _fold(s, total)
    _fold(q, slope)


@kernel
def input_gradient(dY, X, mean, inverse, gain, share, slope):
    """dY becomes dX = (dY − share − X̂ ∘ slope) ∘ gain, where share and slope are the means of dY
    and dY ∘ X̂, and gain is inverse ∘ scale."""
    L = _run_length(X.shape[1])
    mean, gain, share = _repeat(mean, L), _repeat(gain, L), _repeat(share, L)
    steep = _repeat(slope * inverse, L)
    X, dY = X.reshape(-1), dY.reshape(-1)
    for start in range(0, X.size, L):
        x, d = X[start : start + L], dY[start : start + L]
        for i in range(x.size):
            d[i] = (d[i] - share[i] - (x[i] - mean[i]) * steep[i]) * gain[i]


@kernel
def rectified_input_gradient(dY, Y, relu, X, mean, inverse, gain, share, slope, dX):
    """dX = (dZ − share − X̂ ∘ slope) ∘ gain of dZ = dY ∘ [Y > 0], if `relu`, or dY itself."""
    L = _run_length(X.shape[1])
    mean, gain, share = _repeat(mean, L), _repeat(gain, L), _repeat(share, L)
    steep = _repeat(slope * inverse, L)
    X, dY, Y, dX = X.reshape(-1), dY.reshape(-1), Y.reshape(-1), dX.reshape(-1)
    zero, one = X.dtype.type(0), X.dtype.type(1)
    for start in range(0, X.size, L):
        x, d, y = X[start : start + L], dY[start : start + L], Y[start : start + L]
        out = dX[start : start + L]
        for i in range(x.size):
            out[i] = d[i] * (one if not relu or y[i] > zero else zero)
        for i in range(x.size):
            out[i] = (out[i] - share[i] - (x[i] - mean[i]) * steep[i]) * gain[i]


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
