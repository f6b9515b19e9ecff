"""Threads draw the very numbers of a named stream that NumPy draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp import get_device
from minibp.ops.tiers import ops_for
from minibp.rng import Streams

pytest.importorskip("numba")


@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=4),
    p=st.sampled_from([None, 0.0, 0.3, 0.5]),
    threads=st.sampled_from([1, 2, 3, 8]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_the_same_bits_as_numpys_whatever_was_drawn_before(sizes, p, threads, dtype):
    device = get_device("cpu", kernels="compiled", threads=threads)
    stream = Streams(3, device, dtype)["feedback/conv1"]
    ours, hosts = ops_for(device).draws(stream, 12), stream.at(12)
    for size in sizes:
        a, b = (
            draws.uniform((size,)) if p is None else draws.signs((size,), p)
            for draws in (ours, hosts)
        )
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)
