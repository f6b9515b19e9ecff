"""Products that add to what is there."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops.cpu.gemm import add_products


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_they_add_or_replace(dtype, rng):
    A, B = (rng.normal(size=(3, 7, n)).astype(dtype) for n in (2, 5))
    C = np.full((3, 2, 5), 10, dtype)
    expected = np.einsum("pkm,pkn->pmn", A, B)
    add_products(A, B, C, False)
    np.testing.assert_allclose(C, expected + 10, rtol=1e-5)
    C[:] = np.nan
    add_products(A, B, C, True)
    np.testing.assert_allclose(C, expected, rtol=1e-4, atol=1e-5)
