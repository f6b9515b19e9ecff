"""Weights as arrays by name, from a network and back."""

import numpy as np
import pytest

from minibp import Condition, build_network
from minibp.errors import InputError
from minibp.training.run import estimate_moments
from minibp.training.weights import put_weights, select, weights_of


def network(device, seed, classes=5):
    return build_network("mnist", classes, Condition.parse("frSF+BN"), device, seed)


def test_another_network_becomes_the_same(device, rng):
    one, two = network(device, 0), network(device, 1)
    X = device.asarray(rng.normal(size=(4, 28, 28, 1)), "float32")
    estimate_moments(one, iter([X]))
    put_weights(two, weights_of(one))
    a, b = (device.to_host(net.forward(X, train=False)) for net in (one, two))
    np.testing.assert_array_equal(a, b)
    for layer in two.weighted:  # V follows, with two's own magnitudes
        W, V = device.to_host(layer.W), device.to_host(layer.V)
        np.testing.assert_array_equal(np.sign(V), np.sign(W))


def test_another_networks_weights_are_refused(device):
    arrays = weights_of(network(device, 0, classes=6))
    with pytest.raises(InputError, match="weights of another network: parameters/fc4/W was"):
        put_weights(network(device, 0), arrays)


def test_only_weights_are_selected():
    names = ("parameters/a/W", "moments/b/mean", "momentum/a/W", "feedback/a/M")
    assert [*select(dict.fromkeys(names, np.zeros(1)))] == list(names[:2])
