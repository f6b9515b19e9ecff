import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter
from shapes import sliding

from minibp.ops.plain.pool import avg_pool, avg_pool_dX, max_pool, max_pool_dX
from minibp.ops.window import output_size


def windows(case):
    """Yield each output position with the image cells of its window, in scan order."""
    shape, window, stride, padding = case
    for y, x in np.ndindex(output_size(*shape[1:3], window, stride, padding)):
        rows = range(y * stride - padding[0], y * stride - padding[0] + window[0])
        columns = range(x * stride - padding[2], x * stride - padding[2] + window[1])
        inside = [(r, c) for r in rows for c in columns if 0 <= r < shape[1] and 0 <= c < shape[2]]
        yield (y, x), inside


@given(case=sliding(pooling=True), values=st.integers(2, 50), seed=st.integers(0, 99))
def test_max_pool_cell_by_cell(case, values, seed):
    """Few values make ties: the first maximum in scan order takes the whole gradient."""
    shape, rest = case[0], case[1:]
    rng = np.random.default_rng(seed)
    X = rng.integers(-values, 0, size=shape).astype(float)  # negative: a zero border would win
    Y, first = max_pool(X, *rest)
    dY, expected = rng.normal(size=Y.shape), np.zeros(shape)
    for (y, x), inside in windows(case):
        for b, k in np.ndindex(shape[0], shape[3]):
            cells = [X[b, r, c, k] for r, c in inside]
            assert Y[b, y, x, k] == max(cells)
            r, c = inside[int(np.argmax(cells))]
            expected[b, r, c, k] += dY[b, y, x, k]
    np.testing.assert_allclose(max_pool_dX(dY, first, shape, *rest), expected, atol=1e-14)


@given(case=sliding(pooling=True), seed=st.integers(0, 99))
def test_avg_pool_divides_by_the_cells_inside(case, seed):
    shape, rest = case[0], case[1:]
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape)
    Y = avg_pool(X, *rest)
    for (y, x), inside in windows(case):
        rows, columns = zip(*inside, strict=True)
        np.testing.assert_allclose(Y[:, y, x], X[:, rows, columns].mean(axis=1), atol=1e-14)
    dY = rng.normal(size=Y.shape)
    dX = avg_pool_dX(dY, shape, *rest)
    assert np.vdot(Y, dY) == pytest.approx(np.vdot(X, dX), rel=1e-11, abs=1e-11)  # adjoint


@given(size=st.sampled_from([3, 5]), seed=st.integers(0, 99))
def test_max_pool_is_scipys_filter(size, seed):
    X = np.random.default_rng(seed).normal(size=(1, 8, 9, 1))
    pad = size // 2
    Y, _ = max_pool(X, (size, size), 1, (pad,) * 4)
    expected = maximum_filter(X[0, ..., 0], size=size, mode="constant", cval=-np.inf)
    np.testing.assert_array_equal(Y[0, ..., 0], expected)


def test_ties_on_a_constant_image(device):
    X = device.asarray(np.ones((1, 4, 4, 1)))
    Y, first = max_pool(X, (2, 2), 2, (0, 0, 0, 0))
    dX = max_pool_dX(Y, first, X.shape, (2, 2), 2, (0, 0, 0, 0))
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(device.to_host(dX)[0, ..., 0], expected)


def test_nan_wins(device):
    host = np.zeros((1, 2, 4, 1))
    host[0, 1, 1] = host[0, 0, 2] = np.nan
    Y, _ = max_pool(device.asarray(host), (2, 2), 2, (0, 0, 0, 0))
    assert np.isnan(device.to_host(Y)).all()
    assert np.isnan(device.to_host(avg_pool(device.asarray(host), (2, 2), 2, (0, 0, 0, 0)))).all()


def test_on_each_device(device, rng):
    X = rng.normal(size=(2, 5, 6, 3))
    case = ((3, 3), 2, (0, 1, 1, 1))
    Y, first = max_pool(device.asarray(X), *case)
    host_Y, host_first = max_pool(X, *case)
    np.testing.assert_array_equal(device.to_host(Y), host_Y)
    np.testing.assert_array_equal(device.to_host(first), host_first)
    dX = max_pool_dX(Y, first, X.shape, *case)
    np.testing.assert_allclose(
        device.to_host(dX), max_pool_dX(host_Y, host_first, X.shape, *case), rtol=1e-14
    )
    np.testing.assert_allclose(
        device.to_host(avg_pool(device.asarray(X), *case)), avg_pool(X, *case), rtol=1e-14
    )
