"""b, scale and shift: arrays that only one of their kind can replace."""

import numpy as np
import pytest

from minibp.errors import DeviceError, InputError
from minibp.layers import BatchNorm, Linear


def layers():
    W, one = np.eye(3), np.ones(3)
    return [
        (Linear(W, np.zeros(3), name="fc"), "b"),
        (BatchNorm(3, scale=one, shift=0 * one, name="bn"), "scale"),
        (BatchNorm(3, scale=one, shift=0 * one, name="bn"), "shift"),
    ]


@pytest.mark.parametrize(("layer", "name"), layers())
def test_another_of_its_kind_takes_its_place(layer, name):
    other = np.full(3, 7.0)
    setattr(layer, name, other)
    assert getattr(layer, name) is other
    assert layer.params[name] is other


@pytest.mark.parametrize("bad", [np.zeros(2), np.zeros((1, 3)), np.zeros(3, "float32"), None])
@pytest.mark.parametrize(("layer", "name"), layers())
def test_nothing_else_does(layer, name, bad):
    with pytest.raises(InputError, match=f"{layer.name}.*{name}"):
        setattr(layer, name, bad)


def test_a_list_is_no_array():
    (layer, _), *_ = layers()
    with pytest.raises(DeviceError, match="expected an array"):
        layer.b = [0.0, 0.0, 0.0]


def test_a_layer_without_one_gets_none_later():
    with pytest.raises(InputError, match="b was no array, now an array"):
        Linear(np.eye(3)).b = np.zeros(3)


def test_to_set_a_parameter_by_name_is_to_assign_it():
    (layer, _), *_ = layers()
    layer.V = -np.eye(3)
    layer.params["W"] *= 2
    assert (2 * np.eye(3) == layer.W).all()
    assert layer.stale
    layer.params["W"] = -np.eye(3)
    assert (-np.eye(3) == layer.W).all()
    with pytest.raises(InputError, match="W has shape"):
        layer.params["W"] = np.eye(2)
    with pytest.raises(KeyError, match="no parameter 'w'"):
        layer.params["w"] = np.eye(3)
