"""Vectors of numbers in kernels."""

import numpy as np
import pytest

pytest.importorskip("numba")
import numba
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minibp.ops.cpu.vectors import BYTES, FUSED, Vectors, address, stepping, whole


def compiled(lanes, body):
    """Return f(x, y, n), which has `body(v, at_x, at_y)` done for each `lanes` elements."""

    @intrinsic
    def kernel(typing, x, y, n):
        def generate(context, builder, signature, arguments):
            x, y, n = arguments
            v = Vectors(builder, signature.args[0].dtype, lanes)
            i = cgutils.alloca_once_value(builder, whole(0))
            with stepping(builder, i, lanes, n) as at:
                places = (
                    address(context, builder, kind, array, at)
                    for kind, array in zip(signature.args, (x, y), strict=False)
                )
                body(v, *places)
            return context.get_dummy_value()

        return types.void(x, y, n), generate

    @numba.njit
    def run(x, y, n):
        kernel(x, y, n)

    return run


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_whole_vectors_only(lanes, dtype, rng):
    x, y = rng.normal(size=37).astype(dtype), np.zeros(37, dtype)
    compiled(
        lanes, lambda v, x, y: v.store(v.multiply_add(v.constant(2), v.load(x), v.load(x)), y)
    )(x, y, 37)
    done = 37 // lanes * lanes
    np.testing.assert_allclose(y[:done], 3 * x[:done], rtol=1e-6)
    assert not y[done:].any()


def test_one_number_in_all_places(rng):
    x, y = rng.normal(size=8), np.zeros(8)
    compiled(4, lambda v, x, y: v.store(v.load_one(x), y))(x, y, 8)
    np.testing.assert_array_equal(y, np.repeat(x[[0, 4]], 4))


def test_products_are_fused_where_they_can_be():
    """(1 + ε)² − (1 + 2ε) is ε², which a product of its own rounds to 0."""
    eps = np.finfo("float64").eps
    x, y = np.full(4, 1 + eps), np.full(4, -(1 + 2 * eps))
    compiled(4, lambda v, x, y: v.store(v.multiply_add(v.load(x), v.load(x), v.load(y)), y))(
        x, y, 4
    )
    np.testing.assert_array_equal(y, eps**2 if FUSED else 0)


def test_a_register_has_a_known_size():
    assert BYTES in (16, 32, 64)
