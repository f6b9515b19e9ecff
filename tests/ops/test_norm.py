"""The norm of an array, without overflow."""

import numpy as np
import pytest

from minibp.ops.norm import norm


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_squares_do_not_overflow(device, scale, rng):
    x = rng.normal(size=(3, 4)).astype("float32")
    expected = scale * np.linalg.norm(x)
    a = device.asarray((scale * x).astype("float32"))
    assert float(device.to_host(norm(a))) == pytest.approx(expected, rel=1e-5)


def test_of_nothing_and_of_not_a_number(device):
    assert float(device.to_host(norm(device.asarray(np.zeros(3))))) == 0
    assert np.isnan(float(device.to_host(norm(device.asarray([1.0, np.nan])))))
