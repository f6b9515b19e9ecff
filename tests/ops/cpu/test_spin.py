"""Waiting without sleep: it ends when the counter moves, and in any case."""

import threading

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops.cpu.spin import spin


def test_it_ends_when_another_thread_counts():
    counter = np.zeros(1, np.int64)
    spin(counter, 1, 10, 0)  # compiled, and at once at an end
    waiting = threading.Thread(target=spin, args=(counter, 0, 1 << 40, 0))
    waiting.start()
    assert waiting.is_alive()
    counter[0] = 1
    waiting.join(60)
    assert not waiting.is_alive()


def test_it_gives_up():
    spin(np.zeros(1, np.int64), 0, 1000, 10)
