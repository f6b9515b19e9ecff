"""Where batches come from, and that they are made one ahead."""

import threading

import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice

from minibp import get_device
from minibp.ops.contract import ResidentFeed
from minibp.ops.tiers import ops_for
from minibp.training import preprocess
from minibp.training.feed import HostFeed, ahead, bytes_on_device, feeds


def test_a_batch_is_made_in_a_thread_while_another_is_in_use():
    names = []

    def batches():
        for k in range(3):
            names.append(threading.current_thread().name)
            yield k

    assert list(ahead(batches())) == [0, 1, 2]
    assert threading.current_thread().name not in names


def test_an_error_in_making_a_batch_is_raised():
    def batches():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(ahead(batches()))


def test_the_hosts_batches(rng):
    X, y = rng.integers(0, 256, (7, 2, 2, 1), dtype="uint8"), np.arange(7)
    prepare = preprocess.fit("mean", X, "float32")
    feed = HostFeed(get_device("cpu", "plain"), X, y, prepare)
    (a, la), (b, lb) = feed.batches([3, 4], np.arange(7)[::-1])
    assert (la.tolist(), lb.tolist(), len(feed)) == ([6, 5, 4], [3, 2, 1, 0], 7)
    np.testing.assert_array_equal(np.concatenate([a, b]), prepare(X[::-1]))


@pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
def test_data_goes_to_a_device_if_there_is_room(rng):
    X, y = rng.integers(0, 256, (7, 2, 2, 1), dtype="uint8"), np.arange(7)
    prepare = preprocess.fit("mean", X, "float32")
    assert bytes_on_device(X, prepare, "float32") == X.size
    for memory, kind in ((2 * X.size, ResidentFeed), (2 * X.size - 1, HostFeed)):
        device = CppDevice(memory=memory)
        made = feeds(ops_for(device), device, {"train": (X, y)}, prepare, "float32")
        assert isinstance(made["train"], kind)
