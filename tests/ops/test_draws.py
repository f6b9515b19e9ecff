"""Kernels draw until something is asked of NumPy's generator, which then goes on."""

import numpy as np

from minibp.ops.draws import KernelDraws
from minibp.rng import Streams


class Counted(KernelDraws):
    """In place of kernels, a second stream."""

    calls = 0

    def fill(self, out, p):
        self.calls += 1
        ahead = self.stream.at(self.step, past=self.drawn)
        out[...] = ahead.uniform(out.shape) if p is None else ahead.signs(out.shape, p)


def test_they_are_one_stream():
    stream = Streams(1)["x"]
    ours, hosts = Counted(stream, 4), stream.at(4)
    for ask in (
        lambda draws: draws.uniform((5,)),
        lambda draws: draws.signs((2, 3), 0.5),
        lambda draws: draws.normal((4,)),  # the host takes over
        lambda draws: draws.uniform((6,)),
        lambda draws: draws.permutation(5),
        lambda draws: draws.signs((3,), 0.2),
    ):
        np.testing.assert_array_equal(ask(ours), ask(hosts))
    assert ours.calls == 2


def test_nothing_is_made_until_it_is_asked_for():
    stream = Streams(1)["x"]
    assert "host" not in vars(stream.at(0))
    assert Counted(stream, 0)._host is None
