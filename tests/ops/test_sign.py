"""sign(0) is 0, and NaN stays NaN."""

import numpy as np

from minibp.ops.sign import sign


def test_sign_of_zero_is_zero(device):
    x = device.asarray([-2.5, -0.0, 0.0, 1e-30, np.nan])
    np.testing.assert_array_equal(device.to_host(sign(x)), [-1, 0, 0, 1, np.nan])
