"""The sum of a skip connection."""

import numpy as np

from minibp.ops.plain import PlainOps


def test_a_sum_is_a_new_array(device):
    A, B = device.asarray([[1.0, 2.0]]), device.asarray([[10.0, 20.0]])
    np.testing.assert_array_equal(device.to_host(PlainOps().add(A, B)), [[11, 22]])
    np.testing.assert_array_equal(device.to_host(A), [[1, 2]])
