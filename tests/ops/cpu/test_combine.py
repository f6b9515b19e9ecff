"""Kernels made from matrices."""

import numpy as np
import pytest

pytest.importorskip("numba")
import numba

from minibp.ops.cpu import winograd
from minibp.ops.cpu.combine import combination

PLAIN = [[1, 0, 2], [0, -3, 1], [0.5, 0, 0]]  # no pairs
ROWS = [[1, 2], [3, 4], [3, -4], [-1, 5]]  # a pair of rows
COLUMNS = [[1, 1, 2], [2, -2, 0.5], [0, 0, -1]]  # a pair of columns
MATRICES = [PLAIN, ROWS, COLUMNS, winograd.BT6, winograd.BT8, np.transpose(winograd.BT8)]
MATRICES += [winograd.output_matrix(8, 2).T, winograd.output_matrix(6, 4)]


def run(matrix, add, x, y, x_run, y_run, runs, n, rows, step):
    combine = combination(matrix, add)

    @numba.njit
    def call(x, rows, y):
        combine(x, 1, rows, x_run, y, 2, step, y_run, runs, n)

    call(x, np.array(rows), y)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("matrix", MATRICES, ids=range(len(MATRICES)))
def test_it_is_a_product(matrix, dtype, add, rng):
    matrix = np.array(matrix, float)
    n, runs, (high, wide) = 31, 3, matrix.shape  # 16, 8, 4 and three single ones
    x_run, y_run = n + 5, n + 2
    rows = [(n + 7) * runs * (wide - 1 - k) for k in range(wide)]  # in any order
    step = runs * y_run + 3
    x = rng.normal(size=2 + (n + 7) * runs * wide).astype(dtype)
    y = rng.normal(size=2 + high * step + n).astype(dtype)
    expected = y.astype(float)
    for run_ in range(runs):
        at = [1 + row + run_ * x_run for row in rows]
        made = matrix @ np.array([x[a : a + n] for a in at], float)
        for i in range(high):
            to = slice(2 + i * step + run_ * y_run, 2 + i * step + run_ * y_run + n)
            expected[to] = made[i] + add * expected[to]
    run(matrix, add, x, y, x_run, y_run, runs, n, rows, step)
    np.testing.assert_allclose(y, expected, atol=100 * np.finfo(dtype).eps, rtol=0)


def test_runs_that_overlap_add_up():
    x, y = np.ones(20), np.zeros(20)
    run([[2]], True, x, y, x_run=4, y_run=1, runs=3, n=4, rows=[0], step=0)
    np.testing.assert_array_equal(y[:10], [0, 0, 2, 4, 6, 6, 4, 2, 0, 0])


@pytest.mark.parametrize("r", winograd.TILES)
def test_the_matrices_make_a_convolution(r, rng):
    """In one direction: Aᵀ ((G w) ∘ (Bᵀ x)) is a correlation."""
    m, p = winograd.TILES[r], winograd.points(r)
    x, w = rng.normal(size=p), rng.normal(size=r)
    G, BT = winograd.filter_matrix(r, "float64"), winograd.BT6 if p == 6 else winograd.BT8
    y = winograd.output_matrix(p, m) @ ((G @ w) * (np.array(BT) @ x))
    np.testing.assert_allclose(y, np.correlate(x, w), atol=1e-12)
