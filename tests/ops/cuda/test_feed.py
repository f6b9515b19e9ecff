"""Batches of samples in a device's memory."""

import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice

from minibp.ops.tiers import ops_for

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_batches_are_the_samples_in_their_order_prepared(dtype, rng):
    device = CppDevice()
    put, host = device.asarray, device.to_host
    X = rng.integers(0, 256, (7, 2, 3)).astype(dtype)
    y = np.arange(7, dtype="int32")
    centre, scale = (rng.normal(5, 1, (2, 3)).astype("float32") for _ in range(2))
    feed = ops_for(device).feed(put(X), put(y), put(centre), put(scale))
    order = np.array([3, 0, 6, 2, 5, 1, 4])
    start = 0
    for size, (batch, labels) in zip((3, 4), feed.batches((3, 4), order), strict=True):
        rows = order[start : start + size]
        np.testing.assert_array_equal(host(labels), rows)
        np.testing.assert_allclose(host(batch), (X[rows] - centre) / scale, rtol=1e-6)
        start += size


def test_losses_add_up_in_its_memory():
    device = CppDevice()
    put = device.asarray
    ops = ops_for(device)
    one = put(np.ones(1, "float32"))
    feed = ops.feed(put(np.zeros((6, 1), "float32")), put(np.zeros(6, "int32")), 0 * one, one)
    feed.begin(None)
    for E, size in ((2.0, 4), (5.0, 2)):
        feed.tick(put(np.array(E, "float32")), size)
    assert device.to_host(feed.total).tolist() == [18]
    feed.begin(None)
    assert device.to_host(feed.total).tolist() == [0]
