"""Buffers by name."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops.cpu.threads import Team
from minibp.ops.cpu.workspace import Workspace, usable


def test_a_name_has_one_buffer_as_large_as_was_asked_for():
    work = Workspace(Team(1))
    a = work.array("a", (3, 4), "float32")
    a[...] = 7
    b = work.array("a", (2, 3), "float32")
    assert np.shares_memory(a, b)
    np.testing.assert_array_equal(b, 7)
    assert not np.shares_memory(a, work.array("a", (5, 5), "float32"))
    assert not np.shares_memory(a, work.array("b", (3, 4), "float32"))
    assert not np.shares_memory(b, work.array("a", (2, 3), "float64"))


def test_what_a_kernel_can_take_is_not_copied():
    x = np.zeros((4, 6))
    assert usable(x) is x
    frozen = x.copy()
    frozen.flags.writeable = False
    for odd in (x[:, ::2], x.T, frozen):
        made = usable(odd)
        assert made.flags.c_contiguous
        assert made.flags.writeable
        np.testing.assert_array_equal(made, odd)
