import numpy as np
import pytest

from minibp.errors import InputError
from minibp.rng import Streams


def draws(seed=0, name="a", step=0, dtype="float32"):
    return Streams(seed, dtype=dtype)[name].at(step).uniform((1000,))


def test_a_stream_is_a_function_of_seed_name_and_step():
    np.testing.assert_array_equal(draws(), draws())
    for other in (draws(seed=1), draws(name="b"), draws(step=1)):
        assert (other != draws()).mean() > 0.99


def test_the_order_of_use_does_not_matter():
    streams = Streams(0)
    late = [streams["a"].at(step).normal((5,)) for step in (2, 0)]
    np.testing.assert_array_equal(late[1], Streams(0)["a"].at(0).normal((5,)))
    np.testing.assert_array_equal(late[0], Streams(0)["a"].at(2).normal((5,)))


def test_steps_do_not_overlap():
    long = Streams(0)["a"].at(0).host.random(100_000)
    assert not np.isin(Streams(0)["a"].at(1).host.random(1000), long).any()


def test_the_numbers_are_fixed_for_good():
    """A checkpoint or a published seed relies on them."""
    expected = [0.5730964541435242, 0.43047457933425903, 0.39450204372406006]
    np.testing.assert_array_equal(draws()[:3], np.float32(expected))


def test_double_precision_holds_the_same_numbers():
    double = draws(dtype="float64")
    assert double.dtype == "float64"
    np.testing.assert_array_equal(double, draws())


def test_distributions(device):
    rng = Streams(0, device)["x"].at(0)
    M = device.to_host(rng.uniform((20_000,)))
    assert 0 <= M.min() < 0.01
    assert 0.99 < M.max() < 1
    R = device.to_host(rng.normal((20_000,), 0.05))
    assert R.std() == pytest.approx(0.05, rel=0.03)
    assert sorted(rng.permutation(50)) == list(range(50))


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None])
def test_seeds(seed):
    with pytest.raises(InputError, match="seed"):
        Streams(seed)


def test_past_leaves_out_what_was_drawn():
    stream = Streams(5)["x"]
    all_of_it = stream.at(3).uniform((12,))
    np.testing.assert_array_equal(stream.at(3, past=5).uniform((7,)), all_of_it[5:])
