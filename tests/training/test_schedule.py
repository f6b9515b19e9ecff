import numpy as np
import pytest

from minibp import Condition, PaperRecipe, Settings
from minibp.errors import InputError
from minibp.training.recipe import Recipe
from minibp.training.schedule import BatchSchedule, rate_at
from minibp.training.settings import RunSettings


def test_the_rate_drops_after_an_epoch():
    assert [rate_at(epoch, 1.0, (2, 4)) for epoch in (1, 2, 3, 4, 5)] == [1, 1, 0.1, 0.1, 0.01]
    assert rate_at(9, 0.5, ()) == 0.5


def test_the_size_of_an_epochs_batches():
    schedule = BatchSchedule(100, 3, 500)
    assert [schedule.at(epoch) for epoch in (1, 3, 4)] == [100, 100, 500]
    assert BatchSchedule(7).at(99) == 7
    assert str(schedule) == "100 for 3 epochs, then 500"


def test_rates_of_a_recipe():
    def rates(epochs=4, drops=(), **settings):
        given = {"rate": 1.0, "epochs": epochs, "drops": drops}
        recipe = Recipe(**given, settings=RunSettings(**settings))
        return [round(recipe.rate_at(epoch), 3) for epoch in range(1, epochs + 1)]

    assert rates(drops=(2,)) == [1, 1, 0.1, 0.1]
    assert rates(drops=(3,), warmup=1) == [0.5, 1, 1, 0.1]
    assert rates(schedule="cosine") == [1, 0.854, 0.5, 0.146]
    assert rates(6, schedule="cosine", warmup=2) == [0.333, 0.667, 1, 0.854, 0.5, 0.146]
    assert rates(2, warmup=2) == [0.333, 0.667]
    with pytest.raises(InputError, match=r"rate drops \[2\] with schedule=cosine"):
        rates(drops=(2,), schedule="cosine")
    with pytest.raises(InputError, match="a warm-up of 5 epochs in a run of 4"):
        rates(warmup=5)


def test_a_papers_recipe_with_a_cosine_schedule_has_no_drops():
    given = {"rate": 1.0, "model": "mnist", "condition": Condition(), "epochs": 65}
    assert PaperRecipe(**given).drops == (50, 60)
    assert PaperRecipe(**given, settings=Settings(schedule="cosine")).drops == ()


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "10", None])
def test_no_size(size):
    with pytest.raises(InputError, match="batch size"):
        BatchSchedule(size)
    with pytest.raises(InputError, match="batch size"):
        BatchSchedule(1, 2, size if size is not None else 0)


def test_a_size_of_numpys():
    assert type(BatchSchedule(np.int64(3)).size) is int
