import pytest

from minibp.errors import InputError
from minibp.study.conditions import Condition
from minibp.study.protocol import batch_schedules, rate_drops
from minibp.training.schedule import BatchSchedule, rate_at


def test_the_papers_rates():
    rates = [rate_at(epoch, 5e-4, rate_drops(65)) for epoch in (1, 50, 51, 60, 61, 65)]
    assert rates == pytest.approx([5e-4, 5e-4, 5e-5, 5e-5, 5e-6, 5e-6], rel=1e-12)


def test_other_lengths_keep_the_proportion():
    assert rate_drops(130) == (100, 120)
    assert rate_drops(13) == (10, 12)
    assert rate_drops(1) == (1, 1)  # no drop within a single epoch


@pytest.mark.parametrize("head", ["uSF+BM", "uSF+BM2", "uSF+BM Bottom"])
def test_usf_bm_has_two_schedules(head):
    first, second = batch_schedules(Condition.parse(head), 100)
    assert [first.at(epoch) for epoch in (1, 3, 4, 65)] == [100] * 4
    assert [second.at(epoch) for epoch in (1, 3, 4, 65)] == [100, 100, 500, 500]


@pytest.mark.parametrize("head", ["uSF", "uSF+BN+BM", "BM", "frSF+BM", "RndF+BM"])
def test_all_others_have_one(head):
    assert batch_schedules(Condition.parse(head), 100) == [BatchSchedule(100)]


def test_batch_size_zero():
    with pytest.raises(InputError, match="batch size 0"):
        batch_schedules(Condition(), 0)
