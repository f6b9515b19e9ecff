import numpy as np
import pytest

from minibp import gradcheck
from minibp.layers import Linear, ReLU, Sequential


def layers(rng):
    shapes = ((4, 5), (5, 3))
    first, last = (Linear(rng.normal(size=s), name=f"fc{k}") for k, s in enumerate(shapes))
    first.V, last.V = rng.normal(size=first.W.shape), rng.normal(size=last.W.shape)
    return first, ReLU(name="relu"), last


def test_it_is_its_layers_one_after_the_other(rng):
    first, relu, last = layers(rng)
    X, dY = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    Y = last.forward(relu.forward(first.forward(X, train=True), train=True), train=True)
    dX = first.backward(relu.backward(last.backward(dY)))
    both = Sequential([first, relu, last], name="both")
    np.testing.assert_array_equal(both.forward(X, train=True), Y)
    np.testing.assert_array_equal(both.backward(dY), dX)
    assert both.params == both.grads == {}
    assert both.backward(dY, need_dX=False) is None


def test_without_need_of_dX_it_stops_at_the_first_layer_that_learns(rng):
    first, relu, last = layers(rng)
    both = Sequential([ReLU(name="below"), Sequential([first]), relu, last])
    both.forward(rng.normal(size=(6, 4)), train=True)
    both.backward(rng.normal(size=(6, 3)), need_dX=False)
    rows = {row.name: row for row in both.inner_traces()}
    assert list(rows) == ["below", "sequential", "fc0", "relu", "fc1"]
    assert rows["below"].dY is rows["fc0"].dX is None
    assert rows["fc0"].grads["W"].shape == first.W.shape


def test_no_layer_is_the_identity(rng):
    X = rng.normal(size=(2, 3))
    nothing = Sequential([])
    assert nothing.forward(X, train=True) is X
    assert nothing.backward(X) is X


def test_backward_without_a_training_forward(rng):
    both = Sequential(layers(rng), name="both")
    Y = both.forward(rng.normal(size=(6, 4)), train=False)
    with pytest.raises(RuntimeError, match="'both' without a training forward"):
        both.backward(Y)


def test_gradients(rng):
    report = gradcheck(Sequential(layers(rng), name="both"), rng.normal(size=(6, 4)))
    assert report.ok, report
    rows = {(row.layer, row.array) for row in report.rows}
    assert {("both", "fc0/W"), ("both", "X"), ("both/fc0", "X"), ("both/fc1", "any V")} <= rows
