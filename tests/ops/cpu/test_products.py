"""Stacks of products of small matrices."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops.cpu.products import TERMS, add_products, add_transposed_products

# Every number of rows and columns that patches of each size have to be put together for.
SIZES = [(m, n, 3) for m in (1, 2, 5, 11, 12, 19) for n in (1, 3, 7, 8, 20, 50)]
SIZES += [(7, 18, k) for k in (1, TERMS, TERMS + 1, 3 * TERMS)]


def around(shape, dtype, fill):
    """Return an array and what it is cut from, with a margin that nothing may be written to."""
    whole = np.full(np.prod(shape) + 128, fill, dtype)
    return whole[64:-64].reshape(shape), whole


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_they_add_or_replace(m, n, k, dtype, turned, rng):
    A, B = (rng.normal(size=(2, *shape)).astype(dtype) for shape in ((m, k), (k, n)))
    C, whole = around((2, m, n), dtype, 10)
    expected, close = A.astype(float) @ B, {"atol": 100 * np.sqrt(k) * np.finfo(dtype).eps}
    multiply = add_transposed_products if turned else add_products
    A = np.ascontiguousarray(A.transpose(0, 2, 1)) if turned else A
    multiply(A, B, C, False)
    np.testing.assert_allclose(C, expected + 10, rtol=0, **close)
    C[:] = np.nan
    multiply(A, B, C, True)
    np.testing.assert_allclose(C, expected, rtol=0, **close)
    assert (whole[:64] == 10).all()
    assert (whole[-64:] == 10).all()


def test_infinities_and_nan_stay(rng):
    A, B = rng.normal(size=(1, 5, 4)), rng.normal(size=(1, 4, 9))
    A[0, 2, 1], B[0, 3, 7] = np.inf, np.nan
    C = np.empty((1, 5, 9))
    add_products(A, B, C, True)
    with np.errstate(invalid="ignore"):  # some BLAS pads with zeros, and 0 ∞ is invalid
        expected = A @ B
    np.testing.assert_array_equal(np.isnan(C), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(C), np.isinf(expected))


def test_an_element_does_not_depend_on_its_neighbours(rng):
    """Cut another way, a product has the same bits."""
    A, B = (rng.normal(size=shape).astype("f") for shape in ((1, 40, 30), (1, 30, 33)))
    C, part = np.empty((1, 40, 33), "f"), np.empty((1, 17, 33), "f")
    add_products(A, B, C, True)
    add_products(np.ascontiguousarray(A[:, 3:20]), B, part, True)
    np.testing.assert_array_equal(part, C[:, 3:20])
