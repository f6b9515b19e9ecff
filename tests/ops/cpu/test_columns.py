"""Columns and phases, element by element."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops.cpu.columns import columns, narrow, phases, widen


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_column_is_a_shifted_image(stride, rng):
    X = rng.normal(size=(2, 5, 6, 2))
    top, left, kh, kw = 1, 2, 2, 3
    rows, width = 5 + top, -(-(6 + left) // stride)
    OH, OW = (rows - kh) // stride + 1, (6 + left - kw) // stride + 1
    P = np.zeros((2, rows, stride, width))
    out = np.empty((kh * kw * 2, 2 * OH * width))
    columns(X, 0, 2, kh, kw, stride, top, left, OH, P, out)
    padded = np.zeros((2, rows, 6 + left, 2))
    padded[:, top:, left:] = X
    found = out.reshape(kh, kw, 2, 2, OH, width)
    for i, j, c, y, x in np.ndindex(kh, kw, 2, OH, OW):
        expected = padded[:, y * stride + i, x * stride + j, c]
        np.testing.assert_array_equal(found[i, j, c, :, y, x], expected)


def test_phases_are_every_other_pixel(rng):
    X = rng.normal(size=(1, 4, 5, 1))
    out = np.empty((1, 3, 3, 4))
    phases(X, 0, 1, 2, 1, 0, out)
    padded = np.zeros((6, 6))
    padded[1:5, :5] = X[0, :, :, 0]
    for i, j in np.ndindex(2, 2):
        np.testing.assert_array_equal(out[0, :, :, 2 * i + j], padded[i::2, j::2])


def test_widen_is_undone_by_narrow(rng):
    dN, wide, N = rng.normal(size=(2, 3, 4, 2)), np.full((2, 3, 6, 2), 9.0), np.empty((2, 3, 4, 2))
    widen(dN, wide)
    np.testing.assert_array_equal(wide[:, :, 4:], 0)
    narrow(wide, np.array([1.0, 2.0]), N)
    np.testing.assert_array_equal(N, dN + np.array([1.0, 2.0]))
