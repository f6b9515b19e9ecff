"""Eq. 3 and V by one kernel for many parameters."""

import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice

from minibp.ops.sign import sign
from minibp.ops.tiers import ops_for
from minibp.ops.update import CONSTANT, Feedback, Formula, Update
from minibp.optim import eq3

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


@pytest.mark.parametrize("setting", [0, 1, 2, 3])
def test_eq_3_and_then_V(setting, rng):
    device = CppDevice()
    g, w, memory = rng.normal(size=(3, 5, 7))
    tau, kept = eq3(setting, g, w, memory, 0.9, 0.01)
    put, host = device.asarray, device.to_host
    arrays, V = [put(x) for x in (g, w, memory)], put(np.zeros_like(w))
    feedback = Feedback(Formula(CONSTANT, c=0.5), V)
    ops = ops_for(device)
    ops.update([Update(setting, *arrays, 0.9, 0.01, 0.1, 2.0, feedback)])
    np.testing.assert_allclose(host(arrays[1]), w + 0.1 * 2.0 * tau, rtol=1e-14)
    np.testing.assert_allclose(host(arrays[2]), kept, rtol=1e-14)
    np.testing.assert_array_equal(host(V), 0.5 * sign(host(arrays[1])))
    assert ops.launches["update_and_refresh"] == 1
