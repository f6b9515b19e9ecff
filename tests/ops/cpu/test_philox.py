import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp.rng import Streams

pytest.importorskip("numba")

from minibp.ops.cpu.philox import uniform


@given(
    first=st.integers(0, 50),
    n=st.integers(0, 50),
    step=st.sampled_from([0, 1, 12345, 2**40]),
    seed=st.integers(0, 9),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_the_numbers_of_numpy_bit_for_bit(first, n, step, seed, dtype):
    stream, out = Streams(seed)["feedback/conv1"], np.empty(n, dtype)
    uniform(first, stream.key, step, out)
    np.testing.assert_array_equal(out, stream.at(step).uniform((first + n,))[first:])
