"""Batch Normalization's arithmetic."""

import numpy as np

from minibp.ops.plain.norm import feature_sum, normalize, normalize_dX, spread


def test_normalize_by_the_formula(device, rng):
    X = rng.normal(3, 2, size=(5, 4, 3, 2))
    Xhat, mean, std = map(device.to_host, normalize(device.asarray(X), 0.1))
    np.testing.assert_allclose(mean, X.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, np.sqrt(X.var(axis=(0, 1, 2)) + 0.1), rtol=1e-12)
    np.testing.assert_allclose(Xhat, (X - mean) / std, rtol=1e-10)


def test_sums_and_spreads(device, rng):
    X = rng.normal(size=(5, 4, 3, 2))
    total = feature_sum(device.asarray(X))
    np.testing.assert_allclose(device.to_host(total), X.sum(axis=(0, 1, 2)), rtol=1e-12)
    wide = spread(device.asarray([1.0, 2.0]), device.asarray(X))
    np.testing.assert_array_equal(device.to_host(wide), np.broadcast_to([1.0, 2.0], (4, 3, 2)))


def test_an_error_that_is_equal_everywhere_goes_nowhere(device, rng):
    """BN takes out the mean: what shifts all of a feature's inputs alike changes nothing."""
    Xhat, _, std = normalize(device.asarray(rng.normal(size=(6, 3))), 0.1)
    dX = device.to_host(normalize_dX(device.asarray(np.ones((6, 3))), Xhat, std))
    np.testing.assert_allclose(dX, 0, atol=1e-12)
