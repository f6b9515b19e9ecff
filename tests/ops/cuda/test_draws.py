"""A device draws the very numbers of a named stream that the host would."""

import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice

from minibp.ops.tiers import ops_for
from minibp.rng import Streams

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_as_the_hosts_whatever_was_drawn_before(dtype):
    device = CppDevice()
    stream = Streams(3, device, dtype)["feedback/conv1"]
    asked = [
        lambda draws: draws.uniform((3, 5)),
        lambda draws: draws.signs((7,), 0.3),
        lambda draws: draws.signs((2, 2, 11), 0.5),
        lambda draws: draws.uniform((64,)),
        lambda draws: draws.normal((3,)),  # the host takes over
        lambda draws: draws.uniform((9,)),
        lambda draws: draws.signs((4,), 0.5),
    ]
    ops = ops_for(device)
    ours, hosts = ops.draws(stream, 12), stream.at(12)
    for ask in asked:
        a, b = (device.to_host(ask(draws)) for draws in (ours, hosts))
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)
    assert (ops.launches["draw_uniform"], ops.launches["draw_signs"]) == (2, 2)


def test_nothing_is_copied_to_the_device():
    device = CppDevice()
    ops, stream = ops_for(device), Streams(0, device)["x"]
    ops.draws(stream, 1).uniform((5,))  # which takes the key there, once
    before = device.transfers.total()
    ops.draws(stream, 2).signs((500,), 0.5)
    assert device.transfers.total() == before


def test_another_step_gives_other_numbers():
    device = CppDevice()
    ops, stream = ops_for(device), Streams(0, device)["x"]
    a, b = (device.to_host(ops.draws(stream, step).uniform((50,))) for step in (1, 2))
    assert (a != b).all()
