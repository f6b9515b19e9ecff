"""The compiled tier against the plain one: the same signatures, and but for rounding the same
results, for random shapes."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import sliding

from minibp.ops import plain

pytest.importorskip("numba")

from minibp.ops.cpu.compiled import CompiledOps
from minibp.ops.cpu.threads import Team
from minibp.ops.cpu.workspace import Workspace

TOLERANCE = {"float64": 1e-12, "float32": 2e-5}  # relative to an array's largest element


def make(threads=2):
    return CompiledOps(Workspace(Team(threads)))


COMPILED = make()


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


def test_every_operation_of_the_plain_tier_is_there_with_the_same_parameters():
    for name in plain.__all__:
        expected = list(inspect.signature(getattr(plain, name)).parameters)
        assert list(inspect.signature(getattr(COMPILED, name)).parameters) == expected


@given(
    case=st.one_of(sliding(), winograd_cases()),
    J=st.integers(1, 9),
    bias=st.booleans(),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 99),
)
def test_convolution(case, J, bias, dtype, seed):
    shape, window, stride, padding = case
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape).astype(dtype)
    W, V = rng.normal(size=(2, *window, shape[3], J)).astype(dtype)
    b = rng.normal(size=J).astype(dtype) if bias else None
    N = plain.conv2d(X, W, b, stride, padding)
    dN = rng.normal(size=N.shape).astype(dtype)
    agree(COMPILED.conv2d(X, W, b, stride, padding), N, dtype)
    for op, arguments in (
        ("conv2d_dW", (X, dN, window, stride, padding)),
        ("conv2d_dX", (dN, V, shape, stride, padding)),
    ):
        agree(getattr(COMPILED, op)(*arguments), getattr(plain, op)(*arguments), dtype)


@given(case=sliding(pooling=True), ties=st.booleans(), seed=st.integers(0, 99))
def test_pooling(case, ties, seed):
    shape, window, stride, padding = case
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, shape).astype(float) if ties else rng.normal(size=shape)
    where = (window, stride, padding)
    Y, first = plain.max_pool(X, *where)
    result, place = COMPILED.max_pool(X, *where)
    np.testing.assert_array_equal(result, Y)
    np.testing.assert_array_equal(place, first)
    dY = rng.normal(size=Y.shape)
    agree(
        COMPILED.max_pool_dX(dY, place, shape, *where), plain.max_pool_dX(dY, first, shape, *where)
    )
    agree(COMPILED.avg_pool(X, *where), plain.avg_pool(X, *where))
    agree(COMPILED.avg_pool_dX(dY, shape, *where), plain.avg_pool_dX(dY, shape, *where))


@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 300), st.integers(1, 70)),
        st.tuples(*[st.integers(1, 9)] * 4),
    ),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 99),
)
def test_elementwise_and_batch_normalization(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    X, dY = rng.normal(size=(2, *shape)).astype(dtype)
    X[rng.random(shape) < 0.1] = 0
    np.testing.assert_array_equal(COMPILED.relu(X), plain.relu(X))
    np.testing.assert_array_equal(COMPILED.relu_dN(X, dY), plain.relu_dN(X, dY))
    agree(COMPILED.feature_sum(X), plain.feature_sum(X), dtype, scale=abs(X).sum())
    # Far from the origin a careless variance would cancel.
    results, expected = (ops.normalize(X + 100, 1e-4) for ops in (COMPILED, plain))
    for result, right in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, right, rtol=1e-3, atol=1e-3)
    results, expected = (ops.normalize(X, 1e-4) for ops in (COMPILED, plain))
    for result, right in zip(results, expected, strict=True):
        agree(result, right, dtype, scale=1 + abs(right).max())
    Xhat, _, std = expected
    dX = COMPILED.normalize_dX(dY, Xhat, std)
    scale = abs(dY).max() / std.min()
    np.testing.assert_allclose(
        dX, plain.normalize_dX(dY, Xhat, std), rtol=0, atol=TOLERANCE[dtype] * scale
    )


@given(
    B=st.integers(1, 9),
    J=st.integers(1, 9),
    seed=st.integers(0, 99),
    size=st.sampled_from([1, 1e4]),
)
def test_cross_entropy(B, J, seed, size):
    rng = np.random.default_rng(seed)
    N, labels = size * rng.normal(size=(B, J)), rng.integers(0, J, B)
    for kind in ("int64", "uint8"):
        (E, dN), expected = (ops.cross_entropy(N, labels.astype(kind)) for ops in (COMPILED, plain))
        assert pytest.approx(expected[0], rel=1e-12, abs=1e-12) == E
        np.testing.assert_allclose(dN, expected[1], atol=1e-12)


@given(B=st.integers(1, 5), I=st.integers(1, 9), J=st.integers(1, 9), seed=st.integers(0, 99))
def test_fully_connected(B, I, J, seed):
    rng = np.random.default_rng(seed)
    X, W, b, dN = (rng.normal(size=size) for size in ((B, I), (I, J), (J,), (B, J)))
    for op, arguments in (
        ("linear", (X, W, b)),
        ("linear", (X, W, None)),
        ("linear_dW", (X, dN)),
        ("linear_dX", (dN, W)),
    ):
        agree(getattr(COMPILED, op)(*arguments), getattr(plain, op)(*arguments))


def conv_case(B=3, dtype="float64"):
    rng = np.random.default_rng(0)
    X, W = rng.normal(size=(B, 9, 9, 6)), rng.normal(size=(5, 5, 6, 4))
    return X.astype(dtype), W.astype(dtype), 1, (2, 2, 2, 2)


@pytest.mark.parametrize("B", [1, 2, 7, 99])
def test_odd_batches(B):
    X, W, *where = conv_case(B)
    agree(COMPILED.conv2d(X, W, None, *where), plain.conv2d(X, W, None, *where))


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_any_number_of_threads(threads):
    ops = make(threads)
    X, W, *where = conv_case(5)
    N = plain.conv2d(X, W, None, *where)
    agree(ops.conv2d(X, W, None, *where), N)
    agree(ops.conv2d_dW(X, N, (5, 5), *where), plain.conv2d_dW(X, N, (5, 5), *where))


def test_read_only_and_strided_inputs_are_fine_and_stay_as_they_are():
    X, W, *where = conv_case(6)
    expected = plain.conv2d(X[::2], W, None, *where)
    kept = X.copy()
    X.flags.writeable = W.flags.writeable = False
    agree(COMPILED.conv2d(X[::2], W, None, *where), expected)
    agree(COMPILED.relu(X[:, ::2]), plain.relu(X[:, ::2]))
    agree(COMPILED.feature_sum(X[..., ::2]), plain.feature_sum(X[..., ::2]))
    np.testing.assert_array_equal(X, kept)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_through(value):
    X, W, *where = conv_case()
    X[1, 4, 4, 2] = value
    with np.errstate(invalid="ignore"):
        N = COMPILED.conv2d(X, W, None, *where)
        assert not np.isfinite(N[1, 4, 4]).any()
        assert np.isfinite(N[[0, 2]]).all()
        Y, _ = COMPILED.max_pool(X, (2, 2), 2, (0, 0, 0, 0))
        np.testing.assert_array_equal(Y, plain.max_pool(X, (2, 2), 2, (0, 0, 0, 0))[0])
        np.testing.assert_array_equal(COMPILED.relu(X), plain.relu(X))
        Xhat, mean, _ = COMPILED.normalize(X, 1e-4)
        assert np.isnan(Xhat[..., 2]).any()
        assert np.isfinite(mean[[0, 1, 3]]).all()
        E, _ = COMPILED.cross_entropy(X[:, 0, 0] * value, np.array([0, 1, 2]))
        assert not np.isfinite(E)


@pytest.mark.parametrize("size", [1e30, 1e-42])
def test_huge_and_denormal_inputs(size):
    X, W, *where = conv_case(dtype="float32")
    X = (X * size).astype("float32")
    expected = plain.conv2d(X.astype(float), W.astype(float), None, *where)
    np.testing.assert_allclose(
        COMPILED.conv2d(X, W, None, *where),
        expected,
        rtol=0,
        atol=1e-4 * abs(expected).max() + 1e-42,
    )


def test_two_threads_with_an_ops_each(rng):
    from concurrent.futures import ThreadPoolExecutor

    X, W, *where = conv_case(20)
    expected = COMPILED.conv2d(X, W, None, *where)

    def work(_):
        ops = make()
        return [ops.conv2d(X, W, None, *where) for _ in range(10)]

    with ThreadPoolExecutor(2) as pool:
        for results in pool.map(work, range(2)):
            for result in results:
                np.testing.assert_array_equal(result, expected)


def test_scratch_of_one_image_size_does_not_leak_into_another():
    """Padding is kept in memory that is shared between sizes: it must stay zero for each."""
    rng, ops = np.random.default_rng(0), make()
    W, where = rng.normal(size=(3, 3, 2, 4)), (2, (0, 0, 0, 1))
    for width in (7, 6, 7):
        X = rng.normal(size=(2, 5, width, 2))
        agree(ops.conv2d(X, W, None, *where), plain.conv2d(X, W, None, *where))
    W = rng.normal(size=(13, 13, 2, 4))
    X = rng.normal(size=(2, 20, 20, 2))
    for stride in (3, 2, 3):
        where = (stride, (0, 0, 0, 0))
        agree(ops.conv2d(X, W, None, *where), plain.conv2d(X, W, None, *where))


def test_not_finite_errors_go_through():
    X, dY = np.array([[-1.0, 1.0, -1.0, 1.0]]), np.array([[np.nan, np.nan, np.inf, np.inf]])
    with np.errstate(invalid="ignore"):
        expected = plain.relu_dN(X, dY)
    np.testing.assert_array_equal(COMPILED.relu_dN(X, dY), expected)
    assert np.isnan(expected[0, :3]).all()


def test_errors_of_another_shape_are_refused():
    X = np.zeros((3, 4, 4, 2))
    with pytest.raises(ValueError, match="the error has shape"):
        COMPILED.relu_dN(X, X[:2])
    with pytest.raises(ValueError, match="the error has shape"):
        COMPILED.normalize_dX(X[:2], X, np.ones(2))
    window = ((2, 2), 2, (0, 0, 0, 0))
    Y, first = COMPILED.max_pool(X, *window)
    with pytest.raises(ValueError, match="the error has shape"):
        COMPILED.max_pool_dX(Y[:2], first, X.shape, *window)
    with pytest.raises(ValueError, match="the error has shape"):
        COMPILED.avg_pool_dX(Y[:2], X.shape, *window)


def test_dN_of_another_shape_is_refused():
    X, _, *where = conv_case()
    with pytest.raises(ValueError, match=r"shape \(3, 3, 3, 4\), expected \(3, 9, 9, 4\)"):
        COMPILED.conv2d_dW(X, np.zeros((3, 3, 3, 4)), (5, 5), *where)
