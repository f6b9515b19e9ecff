"""Products by cuBLAS, whose columns are our rows."""

import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice

from minibp.ops.cuda.blas import Blas

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True)])
def test_a_product_with_either_factor_transposed(dtype, transposed, rng):
    device = CppDevice()
    A, B = rng.normal(size=(3, 4)).astype(dtype), rng.normal(size=(4, 5)).astype(dtype)
    given = [
        device.asarray(np.ascontiguousarray(x.T if turned else x))
        for x, turned in zip((A, B), transposed, strict=True)
    ]
    C = device.xp.empty((3, 5), dtype)
    Blas.of(device).product(*given, C, transposed)
    np.testing.assert_allclose(device.to_host(C), A @ B, rtol=1e-5)


def test_a_device_has_one_handle():
    device = CppDevice()
    assert Blas.of(device) is Blas.of(device)
    assert Blas.of(device) is not Blas.of(CppDevice())
