"""Formulas of V: which kinds there are, and what each needs."""

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.ops.update import CONSTANT, FLIPPED, KEEP, MAGNITUDE, Formula

M = np.ones(3)


def test_those_that_are_whole():
    for given in ({"kind": KEEP}, {"kind": CONSTANT, "c": 1.0}, {"kind": MAGNITUDE, "M": M}):
        assert Formula(**given).kind == given["kind"]
    assert Formula(FLIPPED, M=M, S=M).draws is False


@pytest.mark.parametrize(
    "given",
    [{"kind": MAGNITUDE}, {"kind": FLIPPED, "M": M}, {"kind": FLIPPED, "S": M}, {"kind": 4}],
)
def test_those_that_lack_an_array(given):
    with pytest.raises(InputError, match="expected kind KEEP, CONSTANT"):
        Formula(**given)
