"""Sums over rows, for numbers of features around the length of a run."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops.cpu import norm


@pytest.mark.parametrize("C", [1, 3, 64, 127, 128, 129, 300])
@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_sums_and_lines(C, rows, rng):
    X = rng.normal(size=(rows, C)).astype("float32")
    total = np.ones(C)
    norm.column_sum(X, total)
    np.testing.assert_allclose(total, 1 + X.sum(axis=0, dtype="float64"), rtol=1e-4, atol=1e-3)
    mean, slope, shift = (rng.normal(size=C).astype("float32") for _ in range(3))
    Y = np.empty_like(X)
    norm.affine(X, mean, slope, shift, Y)
    np.testing.assert_allclose(Y, (X - mean) * slope + shift, rtol=1e-4, atol=1e-5)


def test_moments_of_threads_are_put_together(rng):
    X = (1000 + rng.normal(size=(400, 5))).astype("float32")  # a mean far from 0
    seen = norm.Moments(3, 5, X.dtype)
    for worker, part in enumerate(np.split(X, [100, 350])):
        seen.add(worker, part)
    mean, std = seen.mean_and_std(1e-4)
    np.testing.assert_allclose(mean, X.mean(axis=0, dtype="float64"), rtol=1e-6)
    expected = np.sqrt(X.var(axis=0, dtype="float64") + 1e-4)
    np.testing.assert_allclose(std, expected, rtol=1e-4)
