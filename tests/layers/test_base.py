"""W and V of a weighted layer: which follows which, and what may take their places."""

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.layers import Linear


@pytest.fixture
def layer(rng):
    return Linear(rng.normal(size=(3, 2)), name="fc")


def test_V_follows_W_while_it_is_W(layer):
    layer.W = layer.W + 1
    assert layer.V is layer.W
    layer.V = layer.W * 0.5
    V = layer.V
    layer.W = layer.W + 1
    assert layer.V is V
    assert layer.stale
    layer.V = V
    assert not layer.stale


@pytest.mark.parametrize("name", ["W", "V"])
@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.ones((3, 2), "float32")])
def test_only_arrays_of_the_same_kind_take_a_place(layer, name, bad):
    with pytest.raises(InputError, match=f"layer 'fc': {name} has shape"):
        setattr(layer, name, bad)


def test_a_V_that_is_deferred_is_made_when_it_is_asked_for(layer):
    asked = []
    layer.defer_V(lambda W: asked.append(1) or -W)
    assert not asked
    np.testing.assert_array_equal(layer.V, -layer.W)
    assert layer.V is layer.V
    assert len(asked) == 1


def test_other_weights_for_a_while(layer):
    W, V = layer.W, layer.V
    with layer.with_W(2 * W):
        np.testing.assert_array_equal(layer.W, 2 * W)
    assert (layer.W is W, layer.V is V) == (True, True)
    layer.V = 3 * W
    with layer.backpropagating():
        assert layer.V is layer.W
    np.testing.assert_array_equal(layer.V, 3 * W)


def test_a_layer_says_what_it_is(layer):
    assert repr(layer) == "<Linear fc: W (3, 2)>"
    with pytest.raises(RuntimeError, match="layer 'fc' without a training forward"):
        layer.recall("X")
