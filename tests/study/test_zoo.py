"""The networks of the field: their sizes, that they learn by every rule, and resume."""

import dataclasses

import numpy as np
import pytest
from conftest import make_device
from minibp_datasets import registry

from minibp import Condition, PaperRecipe, Run, Settings, build_network, get_device, gradcheck
from minibp.errors import InputError
from minibp.study import zoo
from minibp.study.networks import get_network

SHAPES = {"lenet-mnist": (28, 28, 1), "lenet-cifar": (32, 32, 3), "mlp-20-10": (30,)}
# Weights and biases, or, with BN, weights, scales, shifts and the output's biases. ResNet-20 with
# shortcuts without parameters has 269,722 (and -56 853,018); theirs are 512 + 2,048 + 192 more.
PARAMETERS = {
    "lenet-mnist": 61_706,
    "lenet-cifar": 128_842,
    "resnet-20": 269_722 + 2_752,
    "resnet-56": 853_018 + 2_752,
}


def network(name, head="SGD", device=None, **changes):
    shape = SHAPES.get(name, (32, 32, 3))
    given = {"settings": Settings(init="he"), "shape": shape} | changes
    return build_network(name, 10, Condition.parse(head), device or get_device("cpu"), **given)


@pytest.mark.parametrize("name", PARAMETERS)
def test_their_sizes(name):
    net = network(name, "BN(affine)" if "resnet" in name else "SGD")
    assert sum(array.size for array in net.parameters().values()) == PARAMETERS[name]
    layers = [layer for layer in net.weighted if layer.W.shape[:2] != (1, 1)]
    assert "resnet" not in name or len(layers) == int(name.split("-")[1])


def test_an_mlp_of_any_widths():
    net = network("mlp-20-10")
    assert [layer.W.shape for layer in net.weighted] == [(30, 20), (20, 10), (10, 10)]
    for name in ("mlp", "mlp-", "mlp-0", "mlp-20-", "resnet-21"):
        with pytest.raises(InputError, match="unknown network"):
            get_network(name)


def test_the_lenet_of_other_sizes():
    net = network("lenet-mnist", shape=(32, 32, 1))
    assert net.weighted[3].W.shape == (120, 84)
    with pytest.raises(InputError, match="layer 'pool2'"):
        network("lenet-cifar", shape=(8, 8, 3))


@pytest.mark.parametrize(
    "name", ["lenet-mnist", "lenet-cifar", pytest.param("resnet-20", marks=pytest.mark.slow)]
)
def test_whole_networks_by_differences(name):
    shape = SHAPES.get(name, (8, 8, 3))
    net = network(name, "BN", dtype="float64", shape=shape)
    X, labels = np.random.default_rng(0).normal(size=(6, *shape)), np.array([3, 8, 0, 1, 2, 9])
    gradcheck(net, X, labels, directions=1).raise_if_failed()


@pytest.mark.parametrize("kernels", ["plain", "compiled"])
@pytest.mark.parametrize(
    ("name", "head"),
    [("resnet-20", "frSF-25+BN"), ("resnet-20", "KP+BN+Muon"), ("lenet-cifar", "DFA")],
)
def test_they_learn_and_resume_to_the_same_bits(name, head, kernels):
    def run():
        recipe = PaperRecipe(
            rate=2e-3,
            model=name,
            condition=Condition.parse(head),
            epochs=2,
            settings=Settings(init="he", bn_batches=1, preprocess="channels"),
        )
        recipe = dataclasses.replace(recipe, batches=dataclasses.replace(recipe.batches, size=10))
        data = registry.load("synthetic:cifar,classes=2,train=20,test=10")
        return Run(recipe, data, make_device(kernels))

    whole, first, second = run(), run(), run()
    first.advance()
    second.restore(*first.state())
    second.advance()
    whole.advance()
    whole.advance()
    (a, _), (b, _) = whole.state(), second.state()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)
    assert whole.history[1]["loss"] < whole.history[0]["loss"]


def test_every_name_has_a_function():
    assert all(zoo.find(name) is build for name, build in zoo.ZOO.items())
