"""The compiled tiers against the plain one: but for rounding the same results, for random
shapes. The CUDA kernels run as C++."""

import functools

import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice
from hypothesis import given
from hypothesis import strategies as st
from shapes import sliding

from minibp.device import has_numba
from minibp.ops import plain
from minibp.ops.cuda.compiled import CudaOps

TOLERANCE = {"float64": 1e-12, "float32": 2e-5}  # relative to an array's largest element
TIERS = {}
if has_numba():
    from minibp.ops.cpu.compiled import CompiledOps
    from minibp.ops.cpu.threads import Team
    from minibp.ops.cpu.workspace import Workspace

    TIERS["cpu"] = CompiledOps(Workspace(Team(2)))


class FromHost:
    """Operations of a device, for host arrays."""

    def __init__(self, ops):
        self.ops, self.device = ops, ops.device

    def __getattr__(self, name):
        operation = getattr(self.ops, name)

        @functools.wraps(operation)
        def call(*arguments):
            results = operation(*map(self._put, arguments))
            return tuple(map(self._get, results)) if type(results) is tuple else self._get(results)

        return call

    def _put(self, value):
        return self.device.asarray(value) if isinstance(value, np.ndarray) else value

    def _get(self, value):
        return self.device.to_host(value)


if COMPILER:
    TIERS["cuda"] = FromHost(CudaOps(CppDevice()))
tiers = pytest.mark.parametrize("ops", TIERS.values(), ids=list(TIERS))


def agree(result, expected, dtype="float64", scale=None):
    """Errors are relative to the largest element, or to the size of what was summed up."""
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype == dtype
    scale = scale or abs(expected).max() or 1
    np.testing.assert_allclose(result, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


@st.composite
def winograd_cases(draw):
    """Draw (image shape, window, stride 1, padding) of which Winograd's kernels take care."""
    side = draw(st.sampled_from([5, 7]))
    padding = tuple(draw(st.integers(0, 3)) for _ in range(4))
    H = draw(st.integers(max(1, side - padding[0] - padding[1]), 14))
    W = draw(st.integers(max(1, side - padding[2] - padding[3]), 14))
    shape = (draw(st.integers(1, 7)), H, W, draw(st.integers(1, 6)))
    return shape, (side, side), 1, padding


@tiers
@given(
    case=st.one_of(sliding(), winograd_cases()),
    J=st.integers(1, 9),
    bias=st.booleans(),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 99),
)
def test_convolution(ops, case, J, bias, dtype, seed):
    shape, window, stride, padding = case
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape).astype(dtype)
    W, V = rng.normal(size=(2, *window, shape[3], J)).astype(dtype)
    b = rng.normal(size=J).astype(dtype) if bias else None
    N = plain.conv2d(X, W, b, stride, padding)
    dN = rng.normal(size=N.shape).astype(dtype)
    agree(ops.conv2d(X, W, b, stride, padding), N, dtype)
    for op, arguments in (
        ("conv2d_dW", (X, dN, window, stride, padding)),
        ("conv2d_dX", (dN, V, shape, stride, padding)),
    ):
        agree(getattr(ops, op)(*arguments), getattr(plain, op)(*arguments), dtype)


@tiers
@given(case=sliding(pooling=True), ties=st.booleans(), seed=st.integers(0, 99))
def test_pooling(ops, case, ties, seed):
    shape, window, stride, padding = case
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, shape).astype(float) if ties else rng.normal(size=shape)
    where = (window, stride, padding)
    Y, first = plain.max_pool(X, *where)
    result, place = ops.max_pool(X, *where)
    np.testing.assert_array_equal(result, Y)
    np.testing.assert_array_equal(place, first)
    dY = rng.normal(size=Y.shape)
    agree(ops.max_pool_dX(dY, place, shape, *where), plain.max_pool_dX(dY, first, shape, *where))
    agree(ops.avg_pool(X, *where), plain.avg_pool(X, *where))
    agree(ops.avg_pool_dX(dY, shape, *where), plain.avg_pool_dX(dY, shape, *where))


@tiers
@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 300), st.integers(1, 70)),
        st.tuples(*[st.integers(1, 9)] * 4),
    ),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 99),
)
def test_elementwise_and_batch_normalization(ops, shape, dtype, seed):
    rng = np.random.default_rng(seed)
    X, dY = rng.normal(size=(2, *shape)).astype(dtype)
    X[rng.random(shape) < 0.1] = 0
    np.testing.assert_array_equal(ops.relu(X), plain.relu(X))
    np.testing.assert_array_equal(ops.relu_dN(X, dY), plain.relu_dN(X, dY))
    np.testing.assert_array_equal(ops.add(X, dY), X + dY)
    agree(ops.feature_sum(X), plain.feature_sum(X), dtype, scale=abs(X).sum())
    # Far from the origin a careless variance would cancel.
    results, expected = (each.normalize(X + 100, 1e-4) for each in (ops, plain))
    for result, right in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, right, rtol=1e-3, atol=1e-3)
    results, expected = (each.normalize(X, 1e-4) for each in (ops, plain))
    for result, right in zip(results, expected, strict=True):
        agree(result, right, dtype, scale=1 + abs(right).max())
    Xhat, _, std = expected
    dX = ops.normalize_dX(dY, Xhat, std)
    scale = abs(dY).max() / std.min()
    np.testing.assert_allclose(
        dX, plain.normalize_dX(dY, Xhat, std), rtol=0, atol=TOLERANCE[dtype] * scale
    )


@tiers
@given(
    B=st.integers(1, 9),
    J=st.integers(1, 9),
    seed=st.integers(0, 99),
    size=st.sampled_from([1, 1e4]),
)
def test_cross_entropy(ops, B, J, seed, size):
    rng = np.random.default_rng(seed)
    N, labels = size * rng.normal(size=(B, J)), rng.integers(0, J, B)
    for kind in ("int64", "uint8"):
        (E, dN), expected = (each.cross_entropy(N, labels.astype(kind)) for each in (ops, plain))
        assert pytest.approx(expected[0], rel=1e-12, abs=1e-12) == E
        np.testing.assert_allclose(dN, expected[1], atol=1e-12)


@tiers
@given(B=st.integers(1, 5), I=st.integers(1, 9), J=st.integers(1, 9), seed=st.integers(0, 99))
def test_fully_connected(ops, B, I, J, seed):
    rng = np.random.default_rng(seed)
    X, W, b, dN = (rng.normal(size=size) for size in ((B, I), (I, J), (J,), (B, J)))
    for op, arguments in (
        ("linear", (X, W, b)),
        ("linear", (X, W, None)),
        ("linear_dW", (X, dN)),
        ("linear_dX", (dN, W)),
    ):
        agree(getattr(ops, op)(*arguments), getattr(plain, op)(*arguments))


def conv_case(B=3, dtype="float64"):
    rng = np.random.default_rng(0)
    X, W = rng.normal(size=(B, 9, 9, 6)), rng.normal(size=(5, 5, 6, 4))
    return X.astype(dtype), W.astype(dtype), 1, (2, 2, 2, 2)


@tiers
def test_read_only_and_strided_inputs_are_fine_and_stay_as_they_are(ops):
    X, W, *where = conv_case(6)
    expected = plain.conv2d(X[::2], W, None, *where)
    kept = X.copy()
    X.flags.writeable = W.flags.writeable = False
    agree(ops.conv2d(X[::2], W, None, *where), expected)
    agree(ops.relu(X[:, ::2]), plain.relu(X[:, ::2]))
    agree(ops.add(X[:, ::2], X[:, ::2]), 2 * X[:, ::2])
    agree(ops.feature_sum(X[..., ::2]), plain.feature_sum(X[..., ::2]))
    np.testing.assert_array_equal(X, kept)


@tiers
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_through(ops, value):
    X, W, *where = conv_case()
    X[1, 4, 4, 2] = value
    with np.errstate(invalid="ignore"):
        N = ops.conv2d(X, W, None, *where)
        assert not np.isfinite(N[1, 4, 4]).any()
        assert np.isfinite(N[[0, 2]]).all()
        Y, _ = ops.max_pool(X, (2, 2), 2, (0, 0, 0, 0))
        np.testing.assert_array_equal(Y, plain.max_pool(X, (2, 2), 2, (0, 0, 0, 0))[0])
        np.testing.assert_array_equal(ops.relu(X), plain.relu(X))
        Xhat, mean, _ = ops.normalize(X, 1e-4)
        assert np.isnan(Xhat[..., 2]).any()
        assert np.isfinite(mean[[0, 1, 3]]).all()
        E, _ = ops.cross_entropy(X[:, 0, 0] * value, np.array([0, 1, 2]))
        assert not np.isfinite(E)


@tiers
def test_not_finite_errors_go_through(ops):
    X, dY = np.array([[-1.0, 1.0, -1.0, 1.0]]), np.array([[np.nan, np.nan, np.inf, np.inf]])
    with np.errstate(invalid="ignore"):
        expected = plain.relu_dN(X, dY)
    np.testing.assert_array_equal(ops.relu_dN(X, dY), expected)
    assert np.isnan(expected[0, :3]).all()


@tiers
def test_errors_of_another_shape_are_refused(ops):
    X = np.zeros((3, 4, 4, 2))
    with pytest.raises(ValueError, match="the error has shape"):
        ops.relu_dN(X, X[:2])
    with pytest.raises(ValueError, match="the error has shape"):
        ops.add(X, X[:2])
    with pytest.raises(ValueError, match="the error has shape"):
        ops.normalize_dX(X[:2], X, np.ones(2))
    window = ((2, 2), 2, (0, 0, 0, 0))
    Y, first = ops.max_pool(X, *window)
    with pytest.raises(ValueError, match="the error has shape"):
        ops.max_pool_dX(Y[:2], first, X.shape, *window)
    with pytest.raises(ValueError, match="the error has shape"):
        ops.avg_pool_dX(Y[:2], X.shape, *window)


@tiers
def test_dN_of_another_shape_is_refused(ops):
    X, _, *where = conv_case()
    with pytest.raises(ValueError, match=r"shape \(3, 3, 3, 4\), expected \(3, 9, 9, 4\)"):
        ops.conv2d_dW(X, np.zeros((3, 3, 3, 4)), (5, 5), *where)
