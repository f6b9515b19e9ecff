"""The compiled tier against the plain one: the same signatures, and but for rounding the same
results, for random shapes."""

import numpy as np
import pytest

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
