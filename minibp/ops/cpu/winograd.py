"""Winograd's convolution for kernels of 3×3 and 5×5 (tiles of 4×4 outputs) and 7×7 (2×2).

A tile of m×m outputs looks at p×p inputs, p = m + r − 1, through p interpolation points: 0, ±1, ±2,
∞ for 3×3, and ±1/2, too, for the others. With B (p×p), G (p×r) and A (p×m), in each of the two
directions:

    U = Bᵀ X B      a tile's inputs, transformed          (p² points, T tiles, C)
    Ŵ = G W Gᵀ      the filters, transformed              (p² points, C, J)
    M = U Ŵ         at each of the p² points: a matrix product, Eq. 1
    N = Aᵀ M A      back to a tile of m×m outputs

so an output takes p²/m² products instead of r²: 2.25 instead of 9, 4 instead of 25, or 16 instead
of 49. The backward pass is the adjoint of each line, in reverse: dM = A dN Aᵀ serves both
dŴ = Uᵀ dM, dW = Gᵀ dŴ G and dU = dM V̂ᵀ, dX = B dU Bᵀ, with V̂ = G V Gᵀ in Ŵ's place.

Each transform takes a row of tiles at a time, and goes first down the columns, then along the row.
So that every loop is long and contiguous, pixels x = m·tx + j are kept in order of (j, tx, c):
column j of all tiles of the row is then one piece. A loop writes one array only: else the compiler
would have to prove too much to vectorize it.
"""

from functools import cache

import numpy as np

from minibp.ops.cpu.jit import kernel

TILES = {3: 4, 5: 4, 7: 2}  # kernel side r: tile side m
BLOCK = 128  # columns (c, j) at a time, which stay in the first-level cache
ORIGIN = np.intp(0)  # a plain 0 would have each function compiled a second time, for that value
LIMIT = 3  # eps; see `drop_rounding`
F = np.float32  # all coefficients are exact in single precision, so this suits double too


def points(r: int) -> int:
    """Return p for kernels of side r: 6 or 8."""
    return TILES[r] + r - 1


@cache
def filter_matrix(r: int, dtype: str) -> np.ndarray:
    """Return G (p, r): the values of Σ g_k x^k at the points, scaled as Bᵀ needs it."""
    p = points(r)
    at = np.array([0, 1, -1, 2, -2, 0.5, -0.5])[: p - 1]
    of_six = [1 / 4, -1 / 6, -1 / 6, 1 / 24, 1 / 24]
    of_eight = [1, -2 / 9, -2 / 9, 1 / 90, 1 / 90, 32 / 45, 32 / 45]
    G = np.zeros((p, r))
    G[: p - 1] = np.array(of_six if p == 6 else of_eight)[:, None] * at[:, None] ** np.arange(r)
    G[p - 1, r - 1] = 1
    return G.astype(dtype)


def transform_filters(W: np.ndarray, half: np.ndarray, What: np.ndarray) -> None:
    """Set Ŵ (p², C, J) = G W Gᵀ for W (r, r, C, J); half (p, r, C·J) is scratch."""
    r, p = len(W), len(half)
    G = filter_matrix(r, W.dtype.name)
    np.matmul(G, W.reshape(r, -1), out=half.reshape(p, -1))
    np.matmul(G, half, out=What.reshape(p, p, -1))


def filter_gradient(dWhat: np.ndarray, half: np.ndarray, dW: np.ndarray) -> None:
    """Set dW (r, r, C, J) = Gᵀ dŴ G for dŴ (p², C, J); half (r, p, C·J) is scratch."""
    r, p = half.shape[:2]
    G = filter_matrix(r, dW.dtype.name)
    np.matmul(G.T, dWhat.reshape(p, -1), out=half.reshape(r, -1))
    np.matmul(G.T, half, out=dW.reshape(r, r, -1))


# In one direction: Bᵀ and its adjoint B, Aᵀ and its adjoint A. Each reads rows of n elements of x
# at base + offsets[k], and writes rows of y at start, start + step, …


@kernel
def _BT(x, base, offsets, y, start, step, n):
    """y = Bᵀ x, 8 rows from 8."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    x2 = x[base + offsets[2] : base + offsets[2] + n]
    x3 = x[base + offsets[3] : base + offsets[3] + n]
    x4 = x[base + offsets[4] : base + offsets[4] + n]
    x5 = x[base + offsets[5] : base + offsets[5] + n]
    x6 = x[base + offsets[6] : base + offsets[6] + n]
    x7 = x[base + offsets[7] : base + offsets[7] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = x0[i] - x6[i] + F(5.25) * (x4[i] - x2[i])
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = (x2[i] + x6[i] - F(4.25) * x4[i]) + (x1[i] + x5[i] - F(4.25) * x3[i])
    row = y[start + 2 * step : start + 2 * step + n]
    for i in range(n):
        row[i] = (x2[i] + x6[i] - F(4.25) * x4[i]) - (x1[i] + x5[i] - F(4.25) * x3[i])
    row = y[start + 3 * step : start + 3 * step + n]
    for i in range(n):
        row[i] = (x6[i] + F(0.25) * x2[i] - F(1.25) * x4[i]) + (
            F(0.5) * x1[i] - F(2.5) * x3[i] + F(2) * x5[i]
        )
    row = y[start + 4 * step : start + 4 * step + n]
    for i in range(n):
        row[i] = (x6[i] + F(0.25) * x2[i] - F(1.25) * x4[i]) - (
            F(0.5) * x1[i] - F(2.5) * x3[i] + F(2) * x5[i]
        )
    row = y[start + 5 * step : start + 5 * step + n]
    for i in range(n):
        row[i] = (x6[i] + F(4) * x2[i] - F(5) * x4[i]) + (
            F(2) * x1[i] - F(2.5) * x3[i] + F(0.5) * x5[i]
        )
    row = y[start + 6 * step : start + 6 * step + n]
    for i in range(n):
        row[i] = (x6[i] + F(4) * x2[i] - F(5) * x4[i]) - (
            F(2) * x1[i] - F(2.5) * x3[i] + F(0.5) * x5[i]
        )
    row = y[start + 7 * step : start + 7 * step + n]
    for i in range(n):
        row[i] = x7[i] - x1[i] + F(5.25) * (x3[i] - x5[i])


@kernel
def _B(x, base, offsets, y, start, step, n):
    """y = B x, 8 rows from 8."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    x2 = x[base + offsets[2] : base + offsets[2] + n]
    x3 = x[base + offsets[3] : base + offsets[3] + n]
    x4 = x[base + offsets[4] : base + offsets[4] + n]
    x5 = x[base + offsets[5] : base + offsets[5] + n]
    x6 = x[base + offsets[6] : base + offsets[6] + n]
    x7 = x[base + offsets[7] : base + offsets[7] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = x0[i]
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = (x1[i] - x2[i]) + F(0.5) * (x3[i] - x4[i]) + F(2) * (x5[i] - x6[i]) - x7[i]
    row = y[start + 2 * step : start + 2 * step + n]
    for i in range(n):
        row[i] = (
            (x1[i] + x2[i]) + F(0.25) * (x3[i] + x4[i]) + F(4) * (x5[i] + x6[i]) - F(5.25) * x0[i]
        )
    row = y[start + 3 * step : start + 3 * step + n]
    for i in range(n):
        row[i] = (
            F(5.25) * x7[i]
            - F(4.25) * (x1[i] - x2[i])
            - F(2.5) * (x3[i] - x4[i])
            - F(2.5) * (x5[i] - x6[i])
        )
    row = y[start + 4 * step : start + 4 * step + n]
    for i in range(n):
        row[i] = (
            F(5.25) * x0[i]
            - F(4.25) * (x1[i] + x2[i])
            - F(1.25) * (x3[i] + x4[i])
            - F(5) * (x5[i] + x6[i])
        )
    row = y[start + 5 * step : start + 5 * step + n]
    for i in range(n):
        row[i] = (
            (x1[i] - x2[i]) + F(2) * (x3[i] - x4[i]) + F(0.5) * (x5[i] - x6[i]) - F(5.25) * x7[i]
        )
    row = y[start + 6 * step : start + 6 * step + n]
    for i in range(n):
        row[i] = (x1[i] + x2[i]) + (x3[i] + x4[i]) + (x5[i] + x6[i]) - x0[i]
    row = y[start + 7 * step : start + 7 * step + n]
    for i in range(n):
        row[i] = x7[i]


@kernel
def _AT4(x, base, offsets, y, start, step, n):
    """y = Aᵀ x, 4 rows from 8."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    x2 = x[base + offsets[2] : base + offsets[2] + n]
    x3 = x[base + offsets[3] : base + offsets[3] + n]
    x4 = x[base + offsets[4] : base + offsets[4] + n]
    x5 = x[base + offsets[5] : base + offsets[5] + n]
    x6 = x[base + offsets[6] : base + offsets[6] + n]
    x7 = x[base + offsets[7] : base + offsets[7] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = x0[i] + (x1[i] + x2[i]) + (x3[i] + x4[i]) + (x5[i] + x6[i])
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = (x1[i] - x2[i]) + F(2) * (x3[i] - x4[i]) + F(0.5) * (x5[i] - x6[i])
    row = y[start + 2 * step : start + 2 * step + n]
    for i in range(n):
        row[i] = (x1[i] + x2[i]) + F(4) * (x3[i] + x4[i]) + F(0.25) * (x5[i] + x6[i])
    row = y[start + 3 * step : start + 3 * step + n]
    for i in range(n):
        row[i] = (x1[i] - x2[i]) + F(8) * (x3[i] - x4[i]) + F(0.125) * (x5[i] - x6[i]) + x7[i]


@kernel
def _AT2(x, base, offsets, y, start, step, n):
    """y = Aᵀ x, 2 rows from 8."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    x2 = x[base + offsets[2] : base + offsets[2] + n]
    x3 = x[base + offsets[3] : base + offsets[3] + n]
    x4 = x[base + offsets[4] : base + offsets[4] + n]
    x5 = x[base + offsets[5] : base + offsets[5] + n]
    x6 = x[base + offsets[6] : base + offsets[6] + n]
    x7 = x[base + offsets[7] : base + offsets[7] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = x0[i] + (x1[i] + x2[i]) + (x3[i] + x4[i]) + (x5[i] + x6[i])
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = (x1[i] - x2[i]) + F(2) * (x3[i] - x4[i]) + F(0.5) * (x5[i] - x6[i]) + x7[i]


@kernel
def _A4(x, base, offsets, y, start, step, n):
    """y = A x, 8 rows from 4."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    x2 = x[base + offsets[2] : base + offsets[2] + n]
    x3 = x[base + offsets[3] : base + offsets[3] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = x0[i]
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = (x0[i] + x2[i]) + (x1[i] + x3[i])
    row = y[start + 2 * step : start + 2 * step + n]
    for i in range(n):
        row[i] = (x0[i] + x2[i]) - (x1[i] + x3[i])
    row = y[start + 3 * step : start + 3 * step + n]
    for i in range(n):
        row[i] = (x0[i] + F(4) * x2[i]) + (F(2) * x1[i] + F(8) * x3[i])
    row = y[start + 4 * step : start + 4 * step + n]
    for i in range(n):
        row[i] = (x0[i] + F(4) * x2[i]) - (F(2) * x1[i] + F(8) * x3[i])
    row = y[start + 5 * step : start + 5 * step + n]
    for i in range(n):
        row[i] = (x0[i] + F(0.25) * x2[i]) + (F(0.5) * x1[i] + F(0.125) * x3[i])
    row = y[start + 6 * step : start + 6 * step + n]
    for i in range(n):
        row[i] = (x0[i] + F(0.25) * x2[i]) - (F(0.5) * x1[i] + F(0.125) * x3[i])
    row = y[start + 7 * step : start + 7 * step + n]
    for i in range(n):
        row[i] = x3[i]


@kernel
def _A2(x, base, offsets, y, start, step, n):
    """y = A x, 8 rows from 2."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = x0[i]
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = x0[i] + x1[i]
    row = y[start + 2 * step : start + 2 * step + n]
    for i in range(n):
        row[i] = x0[i] - x1[i]
    row = y[start + 3 * step : start + 3 * step + n]
    for i in range(n):
        row[i] = x0[i] + F(2) * x1[i]
    row = y[start + 4 * step : start + 4 * step + n]
    for i in range(n):
        row[i] = x0[i] - F(2) * x1[i]
    row = y[start + 5 * step : start + 5 * step + n]
    for i in range(n):
        row[i] = x0[i] + F(0.5) * x1[i]
    row = y[start + 6 * step : start + 6 * step + n]
    for i in range(n):
        row[i] = x0[i] - F(0.5) * x1[i]
    row = y[start + 7 * step : start + 7 * step + n]
    for i in range(n):
        row[i] = x1[i]


@kernel
def _BT6(x, base, offsets, y, start, step, n):
    """y = Bᵀ x, 6 rows from 6."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    x2 = x[base + offsets[2] : base + offsets[2] + n]
    x3 = x[base + offsets[3] : base + offsets[3] + n]
    x4 = x[base + offsets[4] : base + offsets[4] + n]
    x5 = x[base + offsets[5] : base + offsets[5] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = F(4) * x0[i] - F(5) * x2[i] + x4[i]
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = (x4[i] - F(4) * x2[i]) + (x3[i] - F(4) * x1[i])
    row = y[start + 2 * step : start + 2 * step + n]
    for i in range(n):
        row[i] = (x4[i] - F(4) * x2[i]) - (x3[i] - F(4) * x1[i])
    row = y[start + 3 * step : start + 3 * step + n]
    for i in range(n):
        row[i] = (x4[i] - x2[i]) + F(2) * (x3[i] - x1[i])
    row = y[start + 4 * step : start + 4 * step + n]
    for i in range(n):
        row[i] = (x4[i] - x2[i]) - F(2) * (x3[i] - x1[i])
    row = y[start + 5 * step : start + 5 * step + n]
    for i in range(n):
        row[i] = F(4) * x1[i] - F(5) * x3[i] + x5[i]


@kernel
def _B6(x, base, offsets, y, start, step, n):
    """y = B x, 6 rows from 6."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    x2 = x[base + offsets[2] : base + offsets[2] + n]
    x3 = x[base + offsets[3] : base + offsets[3] + n]
    x4 = x[base + offsets[4] : base + offsets[4] + n]
    x5 = x[base + offsets[5] : base + offsets[5] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = F(4) * x0[i]
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = F(4) * (x2[i] - x1[i]) + F(2) * (x4[i] - x3[i]) + F(4) * x5[i]
    row = y[start + 2 * step : start + 2 * step + n]
    for i in range(n):
        row[i] = -F(5) * x0[i] - F(4) * (x1[i] + x2[i]) - (x3[i] + x4[i])
    row = y[start + 3 * step : start + 3 * step + n]
    for i in range(n):
        row[i] = (x1[i] - x2[i]) + F(2) * (x3[i] - x4[i]) - F(5) * x5[i]
    row = y[start + 4 * step : start + 4 * step + n]
    for i in range(n):
        row[i] = x0[i] + (x1[i] + x2[i]) + (x3[i] + x4[i])
    row = y[start + 5 * step : start + 5 * step + n]
    for i in range(n):
        row[i] = x5[i]


@kernel
def _AT6(x, base, offsets, y, start, step, n):
    """y = Aᵀ x, 4 rows from 6."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    x2 = x[base + offsets[2] : base + offsets[2] + n]
    x3 = x[base + offsets[3] : base + offsets[3] + n]
    x4 = x[base + offsets[4] : base + offsets[4] + n]
    x5 = x[base + offsets[5] : base + offsets[5] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = x0[i] + (x1[i] + x2[i]) + (x3[i] + x4[i])
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = (x1[i] - x2[i]) + F(2) * (x3[i] - x4[i])
    row = y[start + 2 * step : start + 2 * step + n]
    for i in range(n):
        row[i] = (x1[i] + x2[i]) + F(4) * (x3[i] + x4[i])
    row = y[start + 3 * step : start + 3 * step + n]
    for i in range(n):
        row[i] = (x1[i] - x2[i]) + F(8) * (x3[i] - x4[i]) + x5[i]


@kernel
def _A6(x, base, offsets, y, start, step, n):
    """y = A x, 6 rows from 4."""
    x0 = x[base + offsets[0] : base + offsets[0] + n]
    x1 = x[base + offsets[1] : base + offsets[1] + n]
    x2 = x[base + offsets[2] : base + offsets[2] + n]
    x3 = x[base + offsets[3] : base + offsets[3] + n]
    row = y[start : start + n]
    for i in range(n):
        row[i] = x0[i]
    row = y[start + step : start + step + n]
    for i in range(n):
        row[i] = (x0[i] + x2[i]) + (x1[i] + x3[i])
    row = y[start + 2 * step : start + 2 * step + n]
    for i in range(n):
        row[i] = (x0[i] + x2[i]) - (x1[i] + x3[i])
    row = y[start + 3 * step : start + 3 * step + n]
    for i in range(n):
        row[i] = (x0[i] + F(4) * x2[i]) + (F(2) * x1[i] + F(8) * x3[i])
    row = y[start + 4 * step : start + 4 * step + n]
    for i in range(n):
        row[i] = (x0[i] + F(4) * x2[i]) - (F(2) * x1[i] + F(8) * x3[i])
    row = y[start + 5 * step : start + 5 * step + n]
    for i in range(n):
        row[i] = x3[i]


@kernel
def _inputs(p, x, base, offsets, y, start, step, n):
    """y = Bᵀ x, for p points."""
    if p == 6:
        _BT6(x, base, offsets, y, start, step, n)
    else:
        _BT(x, base, offsets, y, start, step, n)


@kernel
def _inputs_adjoint(p, x, base, offsets, y, start, step, n):
    """y = B x, for p points."""
    if p == 6:
        _B6(x, base, offsets, y, start, step, n)
    else:
        _B(x, base, offsets, y, start, step, n)


@kernel
def _outputs(p, m, x, base, offsets, y, start, step, n):
    """y = Aᵀ x, for p points and tiles of side m."""
    if p == 6:
        _AT6(x, base, offsets, y, start, step, n)
    elif m == 4:
        _AT4(x, base, offsets, y, start, step, n)
    else:
        _AT2(x, base, offsets, y, start, step, n)


@kernel
def _outputs_adjoint(p, m, x, base, offsets, y, start, step, n):
    """y = A x, for p points and tiles of side m."""
    if p == 6:
        _A6(x, base, offsets, y, start, step, n)
    elif m == 4:
        _A4(x, base, offsets, y, start, step, n)
    else:
        _A2(x, base, offsets, y, start, step, n)


# In both directions, for images a … e of a batch. P and S are scratch; P is zero where the image is
# padded, and stays so.


@kernel
def transform_inputs(X, a, e, top, left, m, Ty, Tx, P, S, U):
    """U = Bᵀ X B: X (B, H, W, C), P (Ty·m + p − m, m, Tx + ⌈p/m⌉ − 1, C), S (p, P.size/rows),
    U (p², T, C) with T = (e − a)·Ty·Tx."""
    H, W, C, p = X.shape[1], X.shape[2], X.shape[3], len(S)
    width = P.shape[2] * C
    row = m * width
    down, along = np.empty(p, np.intp), np.empty(p, np.intp)
    for j in range(p):
        down[j] = j * row
        along[j] = (j % m) * width + (j // m) * C
    flat_P, flat_S, flat_U = P.reshape(-1), S.reshape(-1), U.reshape(-1)
    plane, n = U.shape[1] * C, Tx * C
    for image in range(a, e):
        for y in range(H):
            for x in range(W):
                to, pixel = P[y + top, (x + left) % m, (x + left) // m], X[image, y, x]
                for c in range(C):
                    to[c] = pixel[c]
        for ty in range(Ty):
            _inputs(p, flat_P, ty * m * row, down, flat_S, ORIGIN, row, row)
            t = ((image - a) * Ty + ty) * n
            for k in range(p):
                _inputs(p, flat_S, k * row, along, flat_U, p * k * plane + t, plane, n)


@kernel
def transform_inputs_adjoint(U, a, e, top, left, m, Ty, Tx, P, S, R, dX):
    """dX = B U Bᵀ, overlapping tiles added up: U (p², T, C), S (p, p, Tx·C), R (p, Tx·C)."""
    H, W, C, p = dX.shape[1], dX.shape[2], dX.shape[3], len(S)
    plane, n = U.shape[1] * C, Tx * C
    down, along = np.empty(p, np.intp), np.empty(p, np.intp)
    for k in range(p):
        down[k] = p * k * plane
        along[k] = k * n
    flat_U, flat_S, flat_R = U.reshape(-1), S.reshape(-1), R.reshape(-1)
    width = P.shape[2] * C
    rows = P.reshape(-1)
    for image in range(a, e):
        rows[:] = 0
        for ty in range(Ty):
            t = ((image - a) * Ty + ty) * n
            for k in range(p):
                _inputs_adjoint(p, flat_U, k * plane + t, down, flat_S, k * n, p * n, n)
            for i in range(p):
                _inputs_adjoint(p, flat_S, p * i * n, along, flat_R, ORIGIN, n, n)
                for j in range(p):
                    at = ((ty * m + i) * m + j % m) * width + (j // m) * C
                    to, add = rows[at : at + n], flat_R[j * n : j * n + n]
                    for q in range(n):
                        to[q] += add[q]
        for y in range(H):
            for x in range(W):
                to, pixel = dX[image, y, x], P[y + top, (x + left) % m, (x + left) // m]
                for c in range(C):
                    to[c] = pixel[c]


@kernel
def transform_outputs(M, a, e, m, Ty, Tx, S, R, b, N):
    """N = Aᵀ M A + b: M (p², T, J), S (m, p, Tx·J), R (m, Tx·J), b (J,), N (e − a, OH, OW, J)."""
    OH, OW, J, p = N.shape[1], N.shape[2], N.shape[3], S.shape[1]
    plane, n = M.shape[1] * J, Tx * J
    down, along = np.empty(p, np.intp), np.empty(p, np.intp)
    for k in range(p):
        down[k] = p * k * plane
        along[k] = k * n
    flat_M, flat_S, flat_R = M.reshape(-1), S.reshape(-1), R.reshape(-1)
    for image in range(e - a):
        for ty in range(Ty):
            t = (image * Ty + ty) * n
            for k in range(p):
                _outputs(p, m, flat_M, k * plane + t, down, flat_S, k * n, p * n, n)
            for i in range(min(m, OH - ty * m)):
                _outputs(p, m, flat_S, p * i * n, along, flat_R, ORIGIN, n, n)
                for x in range(OW):
                    at = (x % m) * n + (x // m) * J
                    to, value = N[image, ty * m + i, x], flat_R[at : at + J]
                    for j in range(J):
                        to[j] = value[j] + b[j]


@kernel
def transform_outputs_adjoint(dN, a, e, m, Ty, Tx, S, R, M):
    """M = A dN Aᵀ: dN (e − a, OH, OW, J), R (m, m, Tx·J), S (p, m, Tx·J), M (p², T, J)."""
    OH, OW, J, p = dN.shape[1], dN.shape[2], dN.shape[3], len(S)
    plane, n = M.shape[1] * J, Tx * J
    down, along = np.empty(m, np.intp), np.empty(m, np.intp)
    for k in range(m):
        down[k] = k * m * n
        along[k] = k * n
    flat_M, flat_S, flat_R = M.reshape(-1), S.reshape(-1), R.reshape(-1)
    for image in range(e - a):
        for ty in range(Ty):
            t = (image * Ty + ty) * n
            for i in range(m):
                y = ty * m + i
                for x in range(Tx * m):
                    at = (i * m + x % m) * n + (x // m) * J
                    to = flat_R[at : at + J]
                    if y < OH and x < OW:
                        value = dN[image, y, x]
                        for j in range(J):
                            to[j] = value[j]
                    else:
                        to[:] = 0
            _outputs_adjoint(p, m, flat_R, ORIGIN, down, flat_S, ORIGIN, m * n, m * n)
            for k in range(p):
                _outputs_adjoint(
                    p, m, flat_S, k * m * n, along, flat_M, p * k * plane + t, plane, n
                )


# What is only rounding in dW.


@kernel
def drop_rounding(dWhat, G, limit, dW):
    """dW = 0 where |dW| < limit · |G|ᵀ |dŴ| |G|; NaN and ∞ stay.

    dWhat (p², n), G (p/2 + 1, r) as `sizes` gives it, dW (r·r, n), contiguous.

    Where no input that is on meets an error, dW is 0, and a direct product gives just that. Here
    the p² points have to cancel, which they do up to their rounding, and its sign says nothing.

    The bound: with u = eps/2, an element of U is rounded by up to about 8u of its terms' size (two
    directions, four sums each), one of dM likewise, and their product and its sum over the tiles
    add some u. These errors are independent of each other, so that they grow with the root of
    their number: a few u |dŴ| at each point, where the terms do not cancel. Gᵀ dŴ G takes that,
    and its own rounding, to a few u |G|ᵀ |dŴ| |G|. How few is measured, since the worst case (no
    two errors of different sign) would be ten times as much, and would take true gradients with it:
    of 1.2·10⁶ zeros of random layers 99 in 100 are below eps, and two above 3 eps.

    A true gradient below the bound becomes 0, too. It had one or two bits at most.
    """
    n, r, h = dW.shape[1], G.shape[1], len(G)
    p = 2 * (h - 1)
    x, y = dWhat.reshape(-1), dW.reshape(-1)
    down, both = np.empty(h * p * BLOCK, dW.dtype), np.empty(h * h * BLOCK, dW.dtype)
    half, rounding = np.empty(r * h * BLOCK, dW.dtype), np.empty(r * BLOCK, dW.dtype)
    for a in range(0, n, BLOCK):
        m = min(BLOCK, n - a)
        for q in range(p):
            _pairs(h, x, q * n + a, p * n, down, q * BLOCK, p * BLOCK, m)
        for q in range(h):
            _pairs(h, down, p * q * BLOCK, BLOCK, both, h * q * BLOCK, BLOCK, m)
        for q in range(h):
            _weighed(G, both, q * BLOCK, h * BLOCK, half, q * BLOCK, h * BLOCK, m)
        for k in range(r):
            _weighed(G, half, h * k * BLOCK, BLOCK, rounding, ORIGIN, BLOCK, m)
            for j in range(r):
                at = (k * r + j) * n + a
                _drop(y[at : at + m], rounding[j * BLOCK : j * BLOCK + m], limit)


@cache
def sizes(r: int, dtype: str) -> np.ndarray:
    """Return |G| (p/2 + 1, r), which is the same at ±1, at ±2 and at ±1/2."""
    return np.abs(filter_matrix(r, dtype))[[0, *range(1, points(r), 2)]]


@kernel
def _pairs(h, x, base, step, y, start, out, n):
    """|x| at 0, ±1, ±2 and perhaps ±1/2, and ∞, h rows from 2h − 2: of ± there is the sum."""
    for p in range(h):
        row = y[start + p * out : start + p * out + n]
        at = base + max(2 * p - 1, 0) * step
        one = x[at : at + n]
        for i in range(n):
            row[i] = abs(one[i])
        if 0 < p < h - 1:
            other = x[at + step : at + step + n]
            for i in range(n):
                row[i] += abs(other[i])


@kernel
def _weighed(G, x, base, step, y, start, out, n):
    """y = Gᵀ x, r rows from 4 or 5."""
    h = len(G)
    x0 = x[base : base + n]
    x1 = x[base + step : base + step + n]
    x2 = x[base + 2 * step : base + 2 * step + n]
    x3 = x[base + 3 * step : base + 3 * step + n]
    last = x[base + (h - 1) * step : base + (h - 1) * step + n]
    for k in range(G.shape[1]):
        g0, g1, g2, g3 = G[0, k], G[1, k], G[2, k], G[h - 1, k]
        row = y[start + k * out : start + k * out + n]
        if h == 4:
            for i in range(n):
                row[i] = (g0 * x0[i] + g3 * last[i]) + (g1 * x1[i] + g2 * x2[i])
        else:
            g4 = G[3, k]
            for i in range(n):
                row[i] = (g0 * x0[i] + g3 * last[i]) + (g1 * x1[i] + g2 * x2[i] + g4 * x3[i])


@kernel
def _drop(x, rounding, limit):
    zero, most = x.dtype.type(0), x.dtype.type(np.inf)  # of an ∞ nothing is known
    for i in range(x.size):
        x[i] = zero if abs(x[i]) < limit * rounding[i] < most else x[i]
