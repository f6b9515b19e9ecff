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
The matrices are kernels of their own, made by `combination`."""

from functools import cache

import numpy as np

from minibp.ops.cpu.combine import combination
from minibp.ops.cpu.jit import kernel
from minibp.ops.cpu.products import add_products, add_transposed_products

TILES = {3: 4, 5: 4, 7: 2}  # kernel side r: tile side m
BLOCK = 128  # columns (c, j) at a time, which stay in the first-level cache
ORIGIN, ONE = np.intp(0), np.intp(1)  # plain numbers would have functions compiled for each value
LIMIT = 3  # eps; see `drop_rounding`


def points(r: int) -> int:
    """Return p for kernels of side r: 6 or 8."""
    return TILES[r] + r - 1


@cache
def filter_matrix(r: int, dtype: str) -> np.ndarray:
    """Return G (p, r): the values of Σ g_k x^k at the points, scaled as Bᵀ needs it."""
    p = points(r)
    at = np.array(POINTS[: p - 1])
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


# In one direction: Bᵀ and its adjoint B, Aᵀ and its adjoint A.

POINTS = (0, 1, -1, 2, -2, 1 / 2, -1 / 2)  # and ∞; the first five for 3×3
BT6 = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
BT8 = [
    [1, 0, -21 / 4, 0, 21 / 4, 0, -1, 0],
    [0, 1, 1, -17 / 4, -17 / 4, 1, 1, 0],
    [0, -1, 1, 17 / 4, -17 / 4, -1, 1, 0],
    [0, 1 / 2, 1 / 4, -5 / 2, -5 / 4, 2, 1, 0],
    [0, -1 / 2, 1 / 4, 5 / 2, -5 / 4, -2, 1, 0],
    [0, 2, 4, -5 / 2, -5, 1 / 2, 1, 0],
    [0, -2, 4, 5 / 2, -5, -1 / 2, 1, 0],
    [0, -1, 0, 21 / 4, 0, -21 / 4, 0, 1],
]


def output_matrix(p: int, m: int) -> np.ndarray:
    """Return Aᵀ (m, p): the i-th output is Σ_k x_k (k-th point)^i, and the last has x_∞, too."""
    A = np.zeros((m, p))
    A[:, : p - 1] = np.array(POINTS[: p - 1]) ** np.arange(m)[:, None]
    A[m - 1, p - 1] = 1
    return A


_BT6, _B6, _B6_added = (
    combination(BT6),
    combination(np.transpose(BT6)),
    combination(np.transpose(BT6), add=True),
)
_BT8, _B8, _B8_added = (
    combination(BT8),
    combination(np.transpose(BT8)),
    combination(np.transpose(BT8), add=True),
)
_AT64, _A64 = combination(output_matrix(6, 4)), combination(output_matrix(6, 4).T)
_AT84, _A84 = combination(output_matrix(8, 4)), combination(output_matrix(8, 4).T)
_AT82, _A82 = combination(output_matrix(8, 2)), combination(output_matrix(8, 2).T)


@kernel
def _inputs(p, *given):
    """y = Bᵀ x, for p points; `given` as in `combination`."""
    if p == 6:
        _BT6(*given)
    else:
        _BT8(*given)


@kernel
def _inputs_adjoint(p, *given):
    """y = B x, for p points."""
    if p == 6:
        _B6(*given)
    else:
        _B8(*given)


@kernel
def _add_inputs_adjoint(p, *given):
    """y += B x, for p points."""
    if p == 6:
        _B6_added(*given)
    else:
        _B8_added(*given)


@kernel
def _outputs(p, m, *given):
    """y = Aᵀ x, for p points and tiles of side m."""
    if p == 6:
        _AT64(*given)
    elif m == 4:
        _AT84(*given)
    else:
        _AT82(*given)


@kernel
def _outputs_adjoint(p, m, *given):
    """y = A x, for p points and tiles of side m."""
    if p == 6:
        _A64(*given)
    elif m == 4:
        _A84(*given)
    else:
        _A82(*given)


@kernel
def _multiples(count, step):
    """Return 0, step, 2 step, …"""
    return np.arange(count) * step


# In both directions, for images a … e of a batch: first down the columns, for a row of tiles, then
# along the row, tile by tile. P, R and S are scratch.


@kernel
def transform_inputs(X, a, e, top, left, m, Ty, Tx, P, S, U):
    """U = Bᵀ X B: X (B, H, W, C), P (m·Ty + p − m, W, C), S (p, m·Tx + p − m, C), U (p², T, C)
    with T = (e − a)·Ty·Tx."""
    H, W, C, p = X.shape[1], X.shape[2], X.shape[3], len(S)
    P[:top], P[top + H :] = 0, 0
    S[:, :left], S[:, left + W :] = 0, 0
    line, width, plane = W * C, S.shape[1] * C, U.shape[1] * C
    x, rows, half, out = X.reshape(-1), P.reshape(-1), S.reshape(-1), U.reshape(-1)
    down, along = _multiples(p, line), _multiples(p, C)
    for image in range(a, e):
        rows[top * line : (top + H) * line] = x[image * H * line : (image + 1) * H * line]
        for ty in range(Ty):
            _inputs(p, rows, ty * m * line, down, ORIGIN, half, left * C, width, ORIGIN, ONE, line)
            t = ((image - a) * Ty + ty) * Tx * C
            for k in range(p):
                _inputs(p, half, k * width, along, m * C, out, p * k * plane + t, plane, C, Tx, C)


@kernel
def transform_inputs_adjoint(U, a, e, top, left, m, Ty, Tx, P, S, dX):
    """dX = B U Bᵀ, overlapping tiles added up: U (p², T, C), P (m·Ty + p − m, m·Tx + p − m, C),
    S (p, p, Tx·C)."""
    H, W, C, p = dX.shape[1], dX.shape[2], dX.shape[3], len(S)
    width, plane, n = P.shape[1] * C, U.shape[1] * C, Tx * C
    x, half, sums, out = U.reshape(-1), S.reshape(-1), P.reshape(-1), dX.reshape(-1)
    down, along = _multiples(p, p * plane), _multiples(p, n)
    for image in range(a, e):
        sums[:] = 0
        for ty in range(Ty):
            t = ((image - a) * Ty + ty) * n
            for k in range(p):
                _inputs_adjoint(
                    p, x, k * plane + t, down, ORIGIN, half, k * n, p * n, ORIGIN, ONE, n
                )
            for i in range(p):
                to = (ty * m + i) * width
                _add_inputs_adjoint(p, half, p * i * n, along, C, sums, to, C, m * C, Tx, C)
        for y in range(H):
            start, at = (image * H + y) * W * C, (y + top) * width + left * C
            out[start : start + W * C] = sums[at : at + W * C]


@kernel
def transform_outputs(M, m, Ty, Tx, S, R, N):
    """N = Aᵀ M A: M (p², T, J), S (m, p, Tx·J), R (m·J,), N (images, OH, OW, J)."""
    images, OH, OW, J, p = *N.shape, S.shape[1]
    plane, n, whole = M.shape[1] * J, Tx * J, OW // m
    x, half, out = M.reshape(-1), S.reshape(-1), N.reshape(-1)
    down, along = _multiples(p, p * plane), _multiples(p, n)
    for image in range(images):
        for ty in range(Ty):
            t = (image * Ty + ty) * n
            for k in range(p):
                _outputs(p, m, x, k * plane + t, down, ORIGIN, half, k * n, p * n, ORIGIN, ONE, n)
            for i in range(min(m, OH - ty * m)):
                to, at = (image * OH + ty * m + i) * OW * J, p * i * n
                _outputs(p, m, half, at, along, J, out, to, J, m * J, whole, J)
                if whole < Tx:  # a tile of which some columns are beyond the edge
                    _outputs(p, m, half, at + whole * J, along, J, R, ORIGIN, J, ORIGIN, ONE, J)
                    rest = (OW - whole * m) * J
                    out[to + whole * m * J : to + OW * J] = R[:rest]


@kernel
def transform_outputs_adjoint(dN, m, Ty, Tx, S, R, M):
    """M = A dN Aᵀ: dN (images, OH, OW, J), R (m·OW·J,), S (p, m·Tx, J), M (p², T, J)."""
    images, OH, OW, J, p = *dN.shape, len(S)
    line, width, plane = OW * J, S.shape[1] * J, M.shape[1] * J
    S[:, OW:] = 0
    x, half, out = dN.reshape(-1), S.reshape(-1), M.reshape(-1)
    down, along = _multiples(m, line), _multiples(m, J)
    for image in range(images):
        for ty in range(Ty):
            start, seen = (image * OH + ty * m) * line, min(m, OH - ty * m) * line
            rows, at = x, start
            if seen < m * line:  # a row of tiles of which some rows are beyond the edge
                R[:seen], R[seen:] = x[start : start + seen], 0
                rows, at = R, ORIGIN
            _outputs_adjoint(p, m, rows, at, down, ORIGIN, half, ORIGIN, width, ORIGIN, ONE, line)
            t = (image * Ty + ty) * Tx * J
            for k in range(p):
                _outputs_adjoint(
                    p, m, half, k * width, along, m * J, out, p * k * plane + t, plane, J, Tx, J
                )


# What is done with a piece of a batch, in one go: in between no other thread waits for Python.


@kernel
def outputs(X, a, e, top, left, m, Ty, Tx, P, S, U, What, b, M, Q, R, N):
    """N = Aᵀ (U Ŵ) A + b. An addend at the point (1, 1) is added to each output."""
    transform_inputs(X, a, e, top, left, m, Ty, Tx, P, S, U)
    add_products(U, What, M, True)
    point = M[len(S) + 1]
    for t in range(len(point)):
        for j in range(len(b)):
            point[t, j] += b[j]
    transform_outputs(M, m, Ty, Tx, Q, R, N)


@kernel
def add_filter_part(X, a, e, top, left, m, Ty, Tx, P, S, U, dM, dWhat, fresh):
    """dŴ += Uᵀ dM, or = if `fresh`."""
    transform_inputs(X, a, e, top, left, m, Ty, Tx, P, S, U)
    add_transposed_products(U, dM, dWhat, fresh)


@kernel
def input_part(dM, Vhat, dU, a, e, top, left, m, Ty, Tx, P, S, dX):
    """dX = B (dM V̂ᵀ) Bᵀ, with V̂ᵀ (p², J, C)."""
    add_products(dM, Vhat, dU, True)
    transform_inputs_adjoint(dU, a, e, top, left, m, Ty, Tx, P, S, dX)


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
