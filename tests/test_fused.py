"""Fused blocks and the fused update against layer by layer in plain array code."""

import tracemalloc

import numpy as np
import pytest
from conftest import make_device

from minibp import Condition, Network, Settings, build_network, build_optimizer
from minibp.feedback import FeedbackRule
from minibp.fused import Block
from minibp.layers import BatchNorm, Conv2D, Flatten, Linear, MaxPool2D, ReLU
from minibp.losses import softmax_cross_entropy
from minibp.models import NETWORKS, input_shape
from minibp.train import estimate_moments, step
from minibp.update import update

B = 7


@pytest.fixture(autouse=True)
def numba():
    pytest.importorskip("numba")


def pair(name, head, **settings):
    """Return the same network in plain code and fused."""
    settings = Settings(init="he").replace(**settings)
    nets = [
        build_network(name, 5, Condition.parse(head), make_device(kernels), 0, "float64", settings)
        for kernels in ("plain", "compiled")
    ]
    nets[1].fuse()
    return nets


def batch(name, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, *input_shape(name))), rng.integers(0, 5, B)


def close(a, b, like=None):
    """Errors are relative to b's largest element, or that of an array of the same kind."""
    scale = abs(b if like is None else like).max() or 1
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * scale)


def assert_same_pass(plain, fused, X, labels):
    for net in (plain, fused):
        N = net.forward(X, train=True)
        net.backward(softmax_cross_entropy(N, labels)[1])
    close(fused._outputs[-1], plain._outputs[-1])
    for a, b in zip(fused.layers, plain.layers, strict=True):
        assert list(a.grads) == list(b.grads)
        for name in a.grads:
            # Under BN a bias has a gradient of 0, of which only rounding is left.
            close(a.grads[name], b.grads[name], like=b.grads.get("W"))


@pytest.mark.parametrize("head", ["SGD", "BN", "frSF+BN"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_gradient_of_every_network(name, head):
    assert_same_pass(*pair(name, head), *batch(name))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("head", ["BN", "frSF"])
def test_batches_down_to_one(head, size):
    X, labels = batch("mnist")
    assert_same_pass(*pair("mnist", head), X[:size], labels[:size])


def test_a_smaller_last_batch_after_a_larger_one():
    nets = pair("mnist", "BN")
    for size in (7, 3, 7, 1):
        X, labels = batch("mnist", seed=size)
        assert_same_pass(*nets, X[:size], labels[:size])


@pytest.mark.parametrize("name", ["cifar", "image119"])
def test_a_step_allocates_nothing_of_the_size_of_its_arrays(name):
    net = build_network(name, 5, Condition.parse("frSF+BN+BM"), make_device("compiled"))
    net.fuse()
    optimizer = build_optimizer(net, net.condition, rate=1e-5)
    X, labels = batch(name)
    X = X.astype("float32")
    for _ in range(2):
        step(net, optimizer, X, labels)
    tracemalloc.start()
    step(net, optimizer, X, labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000  # bytes; the smallest of these networks' weights alone have 600,000


@pytest.mark.parametrize(
    "settings",
    [{"mnist_conv_relu": False}, {"block_order": "conv-pool-relu"}, {"bias_before_bn": True}],
)
@pytest.mark.parametrize("head", ["SGD", "RndF+BN"])
def test_other_orders_of_a_block(settings, head):
    assert_same_pass(*pair("mnist", head, **settings), *batch("mnist"))


@pytest.mark.parametrize("name", ["mnist", "cifar"])
def test_evaluation_with_stored_moments(name):
    plain, fused = pair(name, "BN")
    for net in (plain, fused):
        estimate_moments(net, iter([batch(name, seed)[0] for seed in (1, 2, 3)]))
    for a, b in zip(fused.batch_norms(), plain.batch_norms(), strict=True):
        close(a.mean, b.mean)
        close(a.std, b.std)
    X = batch(name)[0]
    close(fused.forward(X, train=False), plain.forward(X, train=False))
    with pytest.raises(RuntimeError, match="without a training forward"):
        fused.backward(np.zeros((B, 5)))


def test_a_strided_block_in_the_middle():
    """Neither Winograd's kernels nor the first layer: dX by the plain tier."""
    rng = np.random.default_rng(0)
    W1, W2, W3 = (rng.normal(size=size) for size in ((3, 3, 2, 4), (3, 2, 4, 6), (12, 5)))

    def network(kernels):
        return Network(
            [
                Conv2D(W1.copy(), name="conv1"),
                BatchNorm(4, name="bn1"),
                MaxPool2D((3, 3), 2, name="pool1", padding=(1, 0, 0, 1)),
                Conv2D(W2.copy(), np.ones(6), stride=2, padding=(1, 1, 0, 0), name="conv2"),
                ReLU(name="relu2"),
                MaxPool2D((2, 2), 1, name="pool2"),
                Flatten(name="flatten"),
                Linear(W3.copy(), name="fc3"),
            ],
            device=make_device(kernels),
        )  # fmt: skip

    plain, fused = network("plain"), network("compiled")
    fused.fuse()
    assert [type(unit) for unit in fused.units] == [Block, Block, Flatten, Block]
    assert_same_pass(plain, fused, rng.normal(size=(B, 12, 12, 2)), rng.integers(0, 5, B))


def test_a_trace_says_none_for_what_is_not_there():
    plain, fused = pair("mnist", "BN")
    assert_same_pass(plain, fused, *batch("mnist"))
    rows = {row.name: row for row in fused.trace()}
    assert list(rows) == [layer.name for layer in plain.layers]
    assert rows["conv1"].X is not None
    assert rows["conv1"].Y is None
    assert rows["relu1"].X is rows["relu1"].dY is None
    assert rows["pool1"].Y is rows["conv2"].X
    assert rows["pool1"].dY is rows["conv2"].dX is not None
    assert rows["fc3"].grads is fused.weighted[2].grads
    assert rows["bn3"].dX is None


def test_fusing_changes_nothing_in_the_plain_tier():
    net = build_network("mnist", 5, Condition(), make_device("plain"))
    net.fuse()
    assert net.units == net.layers


HEADS = [
    "SGD", "BN+BM", "NuSF", "uSF+BN+BM2", "frSF+BM3", "frSF-30+BM", "brSF+BN+BM3", "brSF-25",
    "RndF+BM", "brSF-25+BM Bottom", "uSF Top", "frSF+BN+BM2 Bottom",
]  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_the_fused_update_is_eq_3_and_the_rule(head):
    """The same gradients go into both, so that BM's signs cannot differ by rounding."""
    plain, fused = pair("mnist", head)
    optimizers = [build_optimizer(net, net.condition, rate=1e-3) for net in (plain, fused)]
    rng = np.random.default_rng(0)
    for _ in range(3):
        for a, b in zip(plain.layers, fused.layers, strict=True):
            a.grads = {name: rng.normal(size=w.shape) for name, w in a.params.items()}
            a.grads = {name: g * (abs(g) > 0.1) for name, g in a.grads.items()}  # and zeros
            b.grads = {name: g.copy() for name, g in a.grads.items()}
        for net, optimizer in zip((plain, fused), optimizers, strict=True):
            update(net, optimizer)
        for a, b in zip(plain.layers, fused.layers, strict=True):
            for name in a.params:
                close(b.params[name], a.params[name])
        for a, b in zip(plain.weighted, fused.weighted, strict=True):
            close(b.V, a.V)
        for key in optimizers[0].memory:
            close(optimizers[1].memory[key], optimizers[0].memory[key])
    assert plain.updates == fused.updates == 3
    for layer, drawn in plain.drawn.items():
        for name, array in drawn.items():
            np.testing.assert_array_equal(fused.drawn[layer][name], array)


def test_a_rule_of_the_users_in_the_fused_update():
    class Double(FeedbackRule):
        redraw = "batch"

        def draw(self, shape, rng):
            return {"R": rng.normal(shape)}

        def V(self, W, R):
            return 2 * W + R

    plain, fused = pair("mnist", "SGD")
    for net in (plain, fused):
        net.rule = Double()
        net._draw()
        X, labels = batch("mnist")
        step(net, build_optimizer(net, net.condition, rate=1e-3), X, labels)
    for a, b in zip(plain.weighted, fused.weighted, strict=True):
        close(b.V, a.V)


def test_V_by_hand_is_used_once_and_not_written_to():
    _, net = pair("mnist", "frSF")
    optimizer, (X, labels) = build_optimizer(net, net.condition, rate=1e-3), batch("mnist")
    mine = np.ones_like(net.weighted[1].W)
    net.weighted[1].V = mine
    step(net, optimizer, X, labels)
    assert (mine == 1).all()
    assert net.weighted[1].V is not mine


@pytest.mark.parametrize("head", ["frSF+BN+BM", "brSF-25"])
def test_the_same_bits_from_run_to_run(head):
    def weights():
        net = build_network("cifar", 5, Condition.parse(head), make_device("compiled"), 0)
        net.fuse()
        optimizer = build_optimizer(net, net.condition, rate=1e-3)
        for seed in range(3):
            X, labels = batch("cifar", seed)
            step(net, optimizer, X.astype("float32"), labels)
        return [layer.W for layer in net.weighted] + [layer.V for layer in net.weighted]

    for a, b in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(a, b)
