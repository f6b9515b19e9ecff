"""Errors from afar: dX is the product with the V given, and no layer below waits for another."""

import numpy as np
import pytest
from test_learned import backward, small

from minibp import Condition, FeedbackRule, Linear, Network, Residual, build_network, get_device
from minibp.errors import InputError
from minibp.losses import one_hot
from minibp.rng import Streams

SENT = {"DFA": "output", "sDFA": "sign", "DRTP": "targets", "DKP": "output"}


def e_of(net, X, labels, rule):
    N = net.forward(X, train=True)
    T = one_hot(labels, N) / len(X)
    e = np.exp(N) / np.exp(N).sum(axis=1, keepdims=True) / len(X) - T
    return {"output": e, "sign": np.sign(e), "targets": T}[SENT[rule]]


@pytest.mark.parametrize("rule", SENT)
def test_dX_is_the_errors_product_with_V(rule):
    net, X, labels = small(rule)
    e = e_of(net, X, labels, rule)
    backward(net, X, labels)
    rows = {row.name: row for row in net.trace()}
    for layer in net.weighted[1:]:
        inputs = rows[layer.path].X
        assert layer.V.shape == (inputs[0].size, 5)
        np.testing.assert_allclose(
            rows[layer.path].dX, (e @ layer.V.T).reshape(inputs.shape), rtol=1e-12
        )


@pytest.mark.parametrize("rule", SENT)
def test_the_last_layers_dW_is_that_of_backpropagation_to_the_bit(rule):
    grads = []
    for name in (rule, "BP"):
        net, X, labels = small(name)
        backward(net, X, labels)
        grads.append(net.weighted[-1].grads["W"].copy())
    np.testing.assert_array_equal(*grads)


def test_no_dX_of_a_convolution_is_computed(monkeypatch):
    device = get_device("cpu", "plain")
    net = build_network("mnist", 5, Condition.parse("DFA"), device)
    monkeypatch.setattr(type(net.ops), "conv2d_dX", None)  # or it would be called
    X = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype("float32")
    N = net.forward(X, train=True)
    net.backward(N)
    assert all(layer.grads["W"].any() for layer in net.weighted)


@pytest.mark.parametrize("rule", ["DFA", "DRTP"])
def test_fused_blocks_send_the_same(rule):
    found = []
    for kernels in ("plain", "compiled"):
        device = get_device("cpu", kernels, 1)
        given = (Condition.parse(f"{rule}+BN"), device, 0, "float64")
        net = build_network("cifar", 5, *given)
        net.fuse()
        rng = np.random.default_rng(0)
        X, labels = rng.normal(size=(6, 32, 32, 3)), rng.integers(0, 5, 6)
        N = net.forward(X, train=True)
        net.backward((N - one_hot(labels, N)) / 6, one_hot(labels, N) / 6)
        found.append([layer.grads["W"].copy() for layer in net.weighted])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9 * abs(a).max())


def test_targets_are_needed_where_they_are_sent():
    net, X, _ = small("DRTP")
    N = net.forward(X, train=True)
    with pytest.raises(InputError, match=r"sends the targets: expected backward\(dN, targets\)"):
        net.backward(N)
    with pytest.raises(InputError, match=r"targets \(4, 5\), got \(4, 2\)"):
        net.backward(N, N[:, :2])


def test_the_input_shape_is_needed():
    with pytest.raises(InputError, match="give Network its input_shape"):
        small("DFA", input_shape=None)


def test_an_error_that_there_is_not():
    with pytest.raises(InputError, match="error = 'outputs': expected 'own' or 'output' or"):
        type("R", (FeedbackRule,), {"error": "outputs"})


def test_within_a_residual_block():
    """Each layer with weights takes the error from afar; the identity hands on what arrives."""
    rng = np.random.default_rng(0)
    inner = Linear(rng.normal(size=(4, 4)), name="inner")
    layers = [
        Linear(rng.normal(size=(3, 4)), name="first"),
        Residual([inner], name="block"),
        Linear(rng.normal(size=(4, 2)), name="last"),
    ]
    rule = Condition.parse("DFA").rule()
    device = get_device("cpu", "plain")
    streams = Streams(0, device, "float64")
    net = Network(layers, rule=rule, streams=streams, device=device, input_shape=(3,))
    X = rng.normal(size=(5, 3))
    e = net.forward(X, train=True)
    net.backward(e)
    last, V = layers[2], inner.V
    dY = e @ last.V.T
    np.testing.assert_allclose(layers[0].grads["W"], X.T @ (dY + e @ V.T))
