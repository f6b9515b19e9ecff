"""Launches are counted, and numbers that a device holds are written once."""

import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice
from hypothesis import given
from hypothesis import strategies as st

from minibp.ops.cuda.arithmetic import MOST, DeviceScalar, divider
from minibp.ops.tiers import ops_for

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


def test_an_operation_is_a_launch_by_name(rng):
    device = CppDevice()
    ops, N = ops_for(device), device.asarray(rng.normal(size=(3, 4)), "float32")
    Y = ops.relu(N)
    np.testing.assert_array_equal(device.to_host(Y), np.maximum(device.to_host(N), 0))
    assert dict(ops.launches) == {"relu": 1}


def test_a_number_is_written_where_it_changes():
    device = CppDevice()
    number = DeviceScalar(device, "float64")
    for value in (0.5, 0.5, 2.0):
        number.set(value)
        assert device.to_host(number.array).tolist() == [value]
    number.array.fill(9)
    number.set(2.0)  # which it is thought to be
    assert device.to_host(number.array).tolist() == [9]


@given(by=st.integers(1, MOST), n=st.integers(0, MOST - 1))
def test_a_division_is_a_product_and_a_shift(by, n):
    magic, shift = divider(by)
    assert 0 < magic < 1 << 32
    for number in (n, n // by * by, max(0, n // by * by - 1), MOST - 1):
        assert number * magic >> shift == number // by
