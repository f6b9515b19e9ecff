import numpy as np
import pytest

from minibp.errors import InputError
from minibp.training.schedule import BatchSchedule, rate_at


def test_the_rate_drops_after_an_epoch():
    assert [rate_at(epoch, 1.0, (2, 4)) for epoch in (1, 2, 3, 4, 5)] == [1, 1, 0.1, 0.1, 0.01]
    assert rate_at(9, 0.5, ()) == 0.5


def test_the_size_of_an_epochs_batches():
    schedule = BatchSchedule(100, 3, 500)
    assert [schedule.at(epoch) for epoch in (1, 3, 4)] == [100, 100, 500]
    assert BatchSchedule(7).at(99) == 7
    assert str(schedule) == "100 for 3 epochs, then 500"


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "10", None])
def test_no_size(size):
    with pytest.raises(InputError, match="batch size"):
        BatchSchedule(size)
    with pytest.raises(InputError, match="batch size"):
        BatchSchedule(1, 2, size if size is not None else 0)


def test_a_size_of_numpys():
    assert type(BatchSchedule(np.int64(3)).size) is int
