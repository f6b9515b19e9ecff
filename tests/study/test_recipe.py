import json
import pickle

import numpy as np
import pytest

from minibp import Condition, Settings, get_device
from minibp.errors import InputError
from minibp.study.recipe import PaperRecipe, paper_experiment
from minibp.training import preprocess
from minibp.training.data import Data
from minibp.training.schedule import BatchSchedule

SGD = Condition()


def recipe(**changes):
    return PaperRecipe(**({"model": "mnist", "condition": SGD, "rate": 0.1} | changes))


@pytest.mark.parametrize(
    ("model", "shape", "kind"),
    [
        ("cifar", (32, 32, 3), "gcn+zca"),
        ("svhn", (32, 32, 3), "mean"),
        ("timit", (1845,), "standardize"),
    ],
)
def test_auto_goes_by_the_network(model, shape, kind, monkeypatch):
    monkeypatch.setattr(preprocess, "fit", lambda kind, X, dtype: kind)
    X = np.zeros((8, *shape), "uint8")
    data = Data("toy", X, np.arange(8) % 2, X, np.arange(8) % 2, classes=2)
    assert recipe(model=model).prepare(data) == kind


def test_it_can_be_pickled_and_is_then_the_same():
    one = recipe(condition=Condition.parse("frSF-25+BN+BM2 Top"), batches=BatchSchedule(50, 1, 9))
    two = pickle.loads(pickle.dumps(one))
    assert two == one
    assert two.identity() == one.identity()


def test_the_drops_are_the_papers_in_proportion():
    assert recipe(epochs=65).drops == (50, 60)
    assert recipe(epochs=13).drops == (10, 12)
    assert recipe(epochs=13, drops=()).drops == ()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"rate": -1}, "rate -1: expected a finite number"),
        ({"epochs": 2.5}, r"epochs 2\.5: expected a whole number"),
        ({"epochs": True}, "epochs True"),
        ({"drops": (1.5,)}, "rate drops"),
        ({"dtype": "float16"}, "dtype 'float16'"),
        ({"model": "minst"}, "did you mean 'mnist'"),
    ],
)
def test_what_these_cannot_be(changes, match):
    with pytest.raises(InputError, match=match):
        recipe(**changes)


def test_numpys_whole_numbers_are_whole_numbers():
    one = paper_experiment("toy", "mnist", SGD, epochs=np.int64(3), batch_size=np.int32(20))
    assert type(one.recipe.epochs) is int
    assert one.identity() == paper_experiment("toy", "mnist", SGD, 0, 3, 20).identity()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1.5},
        {"seed": -1},
        {"base_rate": "0.1"},
        {"base_rate": True},
        {"rate_factors": 1.0},
        {"rate_factors": ["1"]},
        {"train_limit": 20.0},
        {"holdout": "0.1"},
        {"settings": {}},
        {"batch_size": 2.0},
    ],
)
def test_values_of_another_type_are_refused(changes):
    with pytest.raises(InputError, match="expected"):
        paper_experiment("toy", "mnist", SGD, **changes)


def test_numpys_numbers_are_numbers():
    settings = Settings(bn_batches=np.int64(5), momentum=np.float32(0.5), decay_bn=np.True_)
    given = {"seed": np.int64(1), "train_limit": np.int32(9), "holdout": np.float32(0.25)}
    given |= {"rate_drops": np.array([1, 2]), "settings": settings}
    one = paper_experiment("toy", "mnist", Condition(bn=np.True_, bm=np.int64(1)), **given)
    assert json.loads(json.dumps(one.identity()))["settings"]["holdout"] == 0.25
    assert one.recipe.condition == Condition(bn=True, bm=1)


def test_the_optimizer_has_the_settings_numbers():
    settings = Settings(momentum=0.5, weight_decay=0.0)
    one = recipe(settings=settings)
    net = one.network(get_device("cpu", "plain"), (28, 28, 1), 3)
    assert one.optimizer(net).momentum == 0.5
    assert one.optimizer(net).rate == 0.1
