"""A recipe of a user's own: a run needs neither conditions nor Table 1."""

import pickle
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from minibp import usercode
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
    with pytest.raises(NotImplementedError, match=r"says network\(self, device, shape, classes\)"):
        Run(Recipe(rate=0.1), data)


def test_a_network_with_other_outputs_than_classes(data, tmp_path):
    class Wide(OneLayer):
        def network(self, device, shape, classes):
            return super().network(device, shape, classes + 1)

    with pytest.raises(InputError, match=r"gives outputs \(2, 4\) for 2 samples of 3 classes"):
        run_experiment(Experiment("toy", Wide(rate=0.1), (1,)), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Odd(OneLayer):
    """Says something else than a recipe should, by name."""

    what: str = ""

    def network(self, device, shape, classes):
        return None if self.what == "network" else super().network(device, shape, classes)

    def optimizer(self, network):
        return 1 / 0 if self.what == "optimizer" else super().optimizer(network)

    def prepare(self, data):
        odd = {"prepare": None, "dtype": lambda X: X}
        return odd[self.what] if self.what in odd else super().prepare(data)


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("network", r"network\(\) gives a NoneType: expected a Network"),
        ("optimizer", "ZeroDivisionError"),
        ("prepare", r"prepare\(data\) makes NoneType"),
        ("dtype", r"prepare\(data\) makes \(2, 5\) float64 of 2 samples"),
    ],
)
def test_what_is_wrong_is_told_before_any_work(data, tmp_path, what, match):
    recipe = type("Odd", (Odd,), {"what": what, "__module__": __name__})(rate=0.1, epochs=1)
    with pytest.raises(InputError, match=match):
        run_experiment(Experiment("toy", recipe, (1,)), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scale", [{1}, Path("a"), float("nan"), print])
def test_a_field_that_no_record_can_hold(scale):
    with pytest.raises(InputError, match=r"recipe OneLayer: scale = .* cannot stand in a record"):
        Experiment("toy", OneLayer(rate=0.1, scale=scale), (1,))


@pytest.mark.parametrize("scale", [(0.1, 0.2), {1: 2}, np.float32(0.5)])
def test_a_field_is_what_json_makes_of_it(data, tmp_path, scale):
    class Any(OneLayer):
        def network(self, device, shape, classes):
            return OneLayer(rate=0.1).network(device, shape, classes)

    experiment = Experiment("toy", Any(rate=0.1, epochs=1, scale=scale), (1,))
    run_experiment(experiment, data, tmp_path / "out")
    run_experiment(experiment, data, tmp_path / "out", resume=True)


@pytest.mark.parametrize(
    ("member", "match"),
    [
        ({"name": property(lambda self: 5)}, "name is 5: expected a text"),
        ({"identity": lambda self: None}, r"identity\(\) has condition = None"),
        ({"identity": lambda self: {"condition": "a"}}, r"identity\(\) has seed = None"),
        ({"schedules": lambda self: []}, r"schedules\(\) are \[\]"),
    ],
)
def test_a_recipe_that_says_no_such_thing(member, match):
    with pytest.raises(InputError, match=match):
        Experiment("toy", type("Bad", (OneLayer,), member)(rate=0.1), (1,))


def test_an_identity_that_changes(data):
    class Changing(OneLayer):
        def identity(self):
            found = super().identity()
            return found | {"settings": found["settings"] | {"at": time.perf_counter_ns()}}

    with pytest.raises(InputError, match="is another each time"):
        Experiment("toy", Changing(rate=0.1), (1,)).identity()


RECIPE = """
from dataclasses import dataclass
from test_recipe_base import OneLayer

@dataclass(frozen=True, kw_only=True)
class Mine(OneLayer):
    more: float = 0
    SCALE = 0.01
"""


def test_an_edited_file_of_a_recipe_is_another_experiment(data, tmp_path, monkeypatch):
    monkeypatch.setattr(OneLayer, "__module__", OneLayer.__module__)
    monkeypatch.setitem(sys.modules, "test_recipe_base", sys.modules[__name__])
    path, out = tmp_path / "mine.py", tmp_path / "out"

    def experiment(text):
        path.write_text(text)
        return Experiment("toy", usercode.load(path).module.Mine(rate=0.1, epochs=1), (1, 10))

    run_experiment(experiment(RECIPE), data, out)
    run_experiment(experiment(RECIPE), data, out, resume=True)
    shutil.rmtree(out / "rate-10")
    with pytest.raises(InputError, match="texts of files was"):
        run_experiment(experiment(RECIPE.replace("0.01", "0.5")), data, out, resume=True)


@pytest.mark.parametrize(
    ("kind", "match"), [("random", "another each time"), ("shared", "one array")]
)
def test_a_network_that_is_not_pure(data, tmp_path, kind, match):
    W = np.ones((5, 3), "float32")

    class Impure(OneLayer):
        def network(self, device, shape, classes):
            own = np.random.default_rng().normal(size=(5, 3)).astype("float32")
            return Network([Linear(W if kind == "shared" else own, name="fc")], device=device)

    with pytest.raises(InputError, match=match):
        run_experiment(Experiment("toy", Impure(rate=0.1), (1,)), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_can_be_pickled():
    assert pickle.loads(pickle.dumps(OneLayer(rate=0.1))) == OneLayer(rate=0.1)
