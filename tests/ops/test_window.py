"""Windows that slide: how often they fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp.errors import InputError
from minibp.ops.window import check_pool, check_window, output_size, span

small = st.integers(0, 3)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), small, small)
def test_the_number_of_positions_is_what_can_be_counted(size, window, stride, before, after):
    places = range(-before, size + after - window + 1, stride)
    padding = (before, after, before, after)
    if not len(places):
        with pytest.raises(InputError, match="does not fit"):
            output_size(size, size, (window, window), stride, padding)
    else:
        found = output_size(size, size, (window, window), stride, padding)
        assert found == (len(places), len(places))


def test_a_span_takes_so_many_so_far_apart():
    assert list(range(20))[span(3, 4, 5)] == [3, 8, 13, 18]


NONE = (0, 0, 0, 0)
BAD = [((0, 1), 1, NONE), ((1,), 1, NONE), ((1, 1), 0, NONE), ((1, 1), 1.5, NONE)]
BAD += [((1, 1), True, NONE), ((1, 1), 1, (0, 0)), ((1, 1), 1, (-1, 0, 0, 0)), ((1, 1), 1, 1)]


@pytest.mark.parametrize(("window", "stride", "padding"), BAD)
def test_what_is_no_window(window, stride, padding):
    with pytest.raises(InputError, match="expected"):
        check_window(window, stride, padding)


def test_a_pool_has_a_cell_in_each_window():
    check_pool((3, 3), 2, (2, 2, 2, 2))
    with pytest.raises(InputError, match="whole window"):
        check_pool((3, 2), 2, (0, 0, 2, 0))
