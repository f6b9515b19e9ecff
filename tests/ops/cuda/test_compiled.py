"""Eq. 3 and V by one kernel for many parameters."""

from dataclasses import replace

import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice

from minibp.ops.cuda.compiled import AT_ONCE
from minibp.ops.sign import sign
from minibp.ops.tiers import ops_for
from minibp.ops.update import CONSTANT, FLIPPED, Feedback, Formula, Update
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


def many(rng, count):
    """Return updates of parameters of several sizes; every third one's V is drawn anew."""
    device, key = CppDevice(), np.arange(2, dtype="uint64")
    updates = []
    for k in range(count):
        g, w, memory, M, S, V = map(device.asarray, rng.normal(size=(6, 1 + 5 * (k % 4))))
        redrawn = Feedback(Formula(FLIPPED, M=M, S=S, p=0.5, draws=True), V, (key, 3))
        updates.append(Update(k % 4, g, w, memory, 0.9, 0.01, 0.1, 2.0, None if k % 3 else redrawn))
    return device, updates


def test_more_parameters_than_a_launch_takes_are_as_each_by_itself():
    found = []
    for together in (True, False):
        device, updates = many(np.random.default_rng(0), 2 * AT_ONCE + 1)
        ops = ops_for(device)
        for some in [updates] if together else [[update] for update in updates]:
            ops.update(some)
        assert ops.launches["update_and_refresh"] == (3 if together else len(updates))
        arrays = [(up.w, up.memory, up.feedback.V if up.feedback else up.w) for up in updates]
        found.append([device.to_host(array) for row in arrays for array in row])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_parameters_of_two_rates_are_refused(rng):
    device, updates = many(rng, 2)
    with pytest.raises(ValueError, match="expected one each"):
        ops_for(device).update([updates[0], replace(updates[1], rate=0.5)])
