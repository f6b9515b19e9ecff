"""The rectifier and the loss."""

import numpy as np

from minibp.ops.cpu.jit import kernel


@kernel
def relu(N, Y):
    """Y = max(N, 0), 1-D; NaN goes through."""
    zero = N.dtype.type(0)
    for i in range(N.size):
        Y[i] = zero if N[i] <= zero else N[i]


@kernel
def relu_dN(N, dY, dN):
    """dN = dY ∘ [N > 0], 1-D."""
    zero, one = N.dtype.type(0), N.dtype.type(1)
    for i in range(N.size):
        dN[i] = dY[i] * (one if N[i] > zero else zero)  # a product: NaN and ∞ go through


@kernel
def cross_entropy(N, labels, dN):
    """Return the mean loss, and set dN (B, J)."""
    B, J = N.shape
    total = 0.0
    for b in range(B):
        row, out = N[b], dN[b]
        peak = row[0]
        for j in range(1, J):
            if row[j] > peak or row[j] != row[j]:
                peak = row[j]
        mass = N.dtype.type(0)
        for j in range(J):
            out[j] = np.exp(row[j] - peak)
            mass += out[j]
        label = labels[b]
        total += np.log(mass) - (row[label] - peak)
        for j in range(J):
            out[j] /= mass * N.dtype.type(B)
        out[label] -= N.dtype.type(1) / N.dtype.type(B)
    return N.dtype.type(total / B)
