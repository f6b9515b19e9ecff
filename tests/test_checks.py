"""Numbers that a caller gives, Python's and NumPy's."""

import numpy as np
import pytest

from minibp.checks import finite, is_number, is_whole, plain, whole
from minibp.errors import InputError


@pytest.mark.parametrize("three", [3, np.int8(3), np.uint64(3)])
def test_whole_numbers_become_pythons(three):
    assert is_whole(three)
    assert type(whole("n", three)) is type(plain(three)) is int


@pytest.mark.parametrize("bad", [True, np.True_, 3.0, "3", None, -1])
def test_what_is_no_whole_number(bad):
    with pytest.raises(InputError, match=r"n .*: expected a whole number of 0 or more"):
        whole("n", bad)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.5, "1", True, None])
def test_what_is_no_finite_number(bad):
    with pytest.raises(InputError, match=r"rate .*: expected a finite number of 0 or more"):
        finite("rate", bad)
    assert not is_number("1")


def test_finite_numbers_become_pythons():
    assert type(finite("rate", np.float32(0.5))) is float
    assert finite("rate", 2) == 2.0
