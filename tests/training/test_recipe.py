"""A recipe of a user's own: a run needs neither conditions nor Table 1."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.experiments.experiment import Experiment
from minibp.experiments.sweep import run_experiment
from minibp.layers import Linear
from minibp.network import Network
from minibp.study.conditions import Condition
from minibp.study.recipe import build_optimizer
from minibp.training.data import Data
from minibp.training.recipe import Recipe
from minibp.training.run import Run


@dataclass(frozen=True, kw_only=True)
class OneLayer(Recipe):
    """Softmax regression."""

    scale: float = 0.1

    def network(self, device, shape, classes):
        W = self.scale * np.random.default_rng(self.seed).normal(size=(*shape, classes))
        return Network([Linear(device.asarray(W, self.dtype), name="fc")], device=device)

    def optimizer(self, network):
        return build_optimizer(network, Condition(), self.rate)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = rng.normal(size=(60, 5)) + 3 * np.eye(3, 5)[y]
    return Data("toy", X[:40], y[:40], X[40:], y[40:], classes=3)


def test_a_run_of_it(data):
    run = Run(OneLayer(rate=0.1, epochs=5), data)
    while not run.finished:
        run.advance()
    assert run.history[-1]["error"] < 20  # 67 is chance
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_an_experiment_of_it(data, tmp_path):
    recipe = OneLayer(rate=0.1, epochs=2)
    record = run_experiment(Experiment("toy", recipe, (1, 0.1)), data, tmp_path / "out")
    assert record["condition"] == "OneLayer"
    assert [rate["rate"] for rate in record["rates"]] == [0.1, 0.1 * 0.1]
    assert [*record["files"]] == [__file__]
    other = Experiment("toy", OneLayer(rate=0.1, epochs=2, scale=0.2), (1, 0.1))
    with pytest.raises(InputError, match=r"scale was 0\.1, now 0\.2"):
        run_experiment(other, data, tmp_path / "out", resume=True)


def test_what_a_recipe_must_say(data):
    with pytest.raises(NotImplementedError):
        Run(Recipe(rate=0.1), data)


def test_a_network_with_other_outputs_than_classes(data, tmp_path):
    class Wide(OneLayer):
        def network(self, device, shape, classes):
            return super().network(device, shape, classes + 1)

    with pytest.raises(InputError, match=r"gives outputs \(2, 4\) for 2 samples of 3 classes"):
        run_experiment(Experiment("toy", Wide(rate=0.1), (1,)), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_can_be_pickled():
    assert pickle.loads(pickle.dumps(OneLayer(rate=0.1))) == OneLayer(rate=0.1)
