"""The product in a rule's or an update's own text."""

import numpy as np
import pytest

from minibp.ops.matmul import matmul


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_it_is_a_product(device, turned, dtype, rng):
    A, B = rng.normal(size=(4, 5)).astype(dtype), rng.normal(size=(5, 3)).astype(dtype)
    a, b = (
        device.asarray(M.T.copy()).T if turn else device.asarray(M)
        for M, turn in zip((A, B), turned, strict=True)
    )
    with device.working():
        got = matmul(a, b)
    np.testing.assert_allclose(device.to_host(got), A @ B, rtol=1e-5)
    assert got.dtype == dtype


def test_of_filters_the_last_axis_counts(device, rng):
    A, B = rng.normal(size=(2, 2, 3, 4)), rng.normal(size=(4, 4))
    with device.working():
        got = matmul(device.asarray(A), device.asarray(B).T)
    np.testing.assert_allclose(device.to_host(got), A @ B.T, rtol=1e-12)


def test_what_does_not_fit_raises(device, rng):
    with device.working(), pytest.raises(ValueError, match=r"matmul|mismatch|shape"):
        matmul(device.asarray(rng.normal(size=(2, 3))), device.asarray(rng.normal(size=(2, 3))))


def test_outside_of_a_devices_work_it_is_the_arrays_own(device, rng):
    A = rng.normal(size=(3, 3))
    a = device.asarray(A)
    np.testing.assert_allclose(device.to_host(matmul(a, a)), A @ A, rtol=1e-12)
