import numpy as np

from minibp.ops.plain.activation import relu, relu_dN
from minibp.ops.plain.norm import feature_sum, normalize, spread
from minibp.ops.sign import sign


def test_relu(device):
    N = device.asarray([-1.0, 0.0, 2.0, np.nan, np.inf])
    np.testing.assert_array_equal(device.to_host(relu(N)), [0, 0, 2, np.nan, np.inf])
    dY = device.asarray([3.0, 3.0, 3.0, np.nan, 3.0])
    np.testing.assert_array_equal(device.to_host(relu_dN(N, dY)), [0, 0, 3, np.nan, 3])


def test_sign_of_zero_is_zero(device):
    x = device.asarray([-2.5, -0.0, 0.0, 1e-30, np.nan])
    np.testing.assert_array_equal(device.to_host(sign(x)), [-1, 0, 0, 1, np.nan])


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
