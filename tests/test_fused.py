"""Fused blocks and the fused update against layer by layer in plain array code."""

import tracemalloc

import numpy as np
import pytest
from conftest import make_device

from minibp import Condition, Network, Settings, build_network, build_optimizer, gradcheck
from minibp.errors import InputError
from minibp.feedback import FeedbackRule
from minibp.fused import Block
from minibp.layers import (
    BatchNorm,
    Conv2D,
    Flatten,
    Layer,
    Linear,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
)
from minibp.losses import softmax_cross_entropy
from minibp.one_pass import update
from minibp.ops.update import CONSTANT, Formula
from minibp.optim import Optimizer
from minibp.study.networks import NETWORKS, input_shape
from minibp.training.run import estimate_moments, train_step

B = 7


@pytest.fixture(autouse=True)
def numba():
    pytest.importorskip("numba")


def pair(name, head, kernels="compiled", **settings):
    """Return the same network in plain code and fused."""
    settings = Settings(init="he").replace(**settings)
    nets = [
        build_network(name, 5, Condition.parse(head), make_device(device), 0, "float64", settings)
        for device in ("plain", kernels)
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
        put = net.device.asarray
        N = net.forward(put(X), train=True)
        net.backward(softmax_cross_entropy(N, put(labels))[1])
    get = fused.device.to_host
    close(get(fused.trace()[-1].Y), plain.trace()[-1].Y)
    for a, b in zip(fused.layers, plain.layers, strict=True):
        assert list(a.grads) == list(b.grads)
        for name in a.grads:
            # Under BN a bias has a gradient of 0, of which only rounding is left.
            close(get(a.grads[name]), b.grads[name], like=b.grads.get("W"))


tiers = pytest.mark.parametrize(
    "kernels", ["compiled", "cpp", pytest.param("cuda", marks=pytest.mark.cuda)]
)


@tiers
@pytest.mark.parametrize("head", ["SGD", "BN", "frSF+BN"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_gradient_of_every_network(name, head, kernels):
    X, labels = batch(name)
    few = 2 if kernels == "cpp" else B  # it does one element after the other
    assert_same_pass(*pair(name, head, kernels), X[:few], labels[:few])


@tiers
@pytest.mark.parametrize(("head", "size"), [("BN", 2), ("BN", 3), ("frSF", 1), ("frSF", 2)])
def test_batches_down_to_one(head, size, kernels):
    X, labels = batch("mnist")
    assert_same_pass(*pair("mnist", head, kernels), X[:size], labels[:size])


@tiers
def test_one_sample_is_no_batch_for_bn(kernels):
    X, _ = batch("mnist")
    for net in pair("mnist", "BN", kernels):
        X1 = net.device.asarray(X[:1])
        with pytest.raises(InputError, match="layer 'bn3': a training batch of shape"):
            net.forward(X1, train=True)


@tiers
def test_a_smaller_last_batch_after_a_larger_one(kernels):
    nets = pair("mnist", "BN", kernels)
    for size in (7, 3, 7, 2):
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
        train_step(net, optimizer, X, labels)
    tracemalloc.start()
    train_step(net, optimizer, X, labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000  # bytes; the smallest of these networks' weights alone have 600,000


@pytest.mark.parametrize(
    "settings",
    [{"mnist_conv_relu": False}, {"block_order": "conv-pool-relu"}, {"bias_before_bn": True}],
)
@pytest.mark.parametrize("head", ["SGD", "RndF+BN"])
@tiers
def test_other_orders_of_a_block(settings, head, kernels):
    assert_same_pass(*pair("mnist", head, kernels, **settings), *batch("mnist"))


@tiers
@pytest.mark.parametrize("name", ["mnist", "cifar"])
def test_evaluation_with_stored_moments(name, kernels):
    plain, fused = pair(name, "BN", kernels)
    put, get = fused.device.asarray, fused.device.to_host
    for net in (plain, fused):
        inputs = (net.device.asarray(batch(name, seed)[0]) for seed in (1, 2, 3))
        estimate_moments(net, inputs)
    for a, b in zip(fused.batch_norms(), plain.batch_norms(), strict=True):
        close(get(a.mean), b.mean)
        close(get(a.std), b.std)
    X = batch(name)[0]
    close(get(fused.forward(put(X), train=False)), plain.forward(X, train=False))
    with pytest.raises(RuntimeError, match="without a training forward"):
        fused.backward(put(np.zeros((B, 5))))


@tiers
def test_a_strided_block_in_the_middle(kernels):
    """Neither Winograd's kernels nor the first layer: dX by the plain tier."""
    rng = np.random.default_rng(0)
    W1, W2, W3 = (rng.normal(size=size) for size in ((3, 3, 2, 4), (3, 2, 4, 6), (12, 5)))

    b2 = np.ones(6)

    def network(kernels):
        device = make_device(kernels)
        put = device.asarray
        return Network(
            [
                Conv2D(put(W1.copy()), name="conv1"),
                BatchNorm(4, name="bn1"),
                MaxPool2D((3, 3), 2, name="pool1", padding=(1, 0, 0, 1)),
                Conv2D(put(W2.copy()), put(b2), stride=2, padding=(1, 1, 0, 0), name="conv2"),
                ReLU(name="relu2"),
                MaxPool2D((2, 2), 1, name="pool2"),
                Flatten(name="flatten"),
                Linear(put(W3.copy()), name="fc3"),
            ],
            device=device,
        )  # fmt: skip

    plain, fused = network("plain"), network(kernels)
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
    assert rows["pool1"].dY is rows["conv2"].dX is None  # overwritten since
    assert rows["fc3"].grads is fused.weighted[2].grads
    assert rows["bn3"].dX is None


class Parallel(Layer):
    """The sum of two chains, as a user may write it."""

    def __init__(self, one, two, name):
        super().__init__(name)
        self.one, self.two = Sequential(one, "one"), Sequential(two, "two")

    def children(self):
        return [self.one, self.two]

    def forward(self, X, *, train):
        return self.one.forward(X, train=train) + self.two.forward(X, train=train)

    def backward(self, dY, *, need_dX=True):
        dX = [chain.backward(dY, need_dX=need_dX) for chain in self.children()]
        return dX[0] + dX[1] if need_dX else None


class Skip(Sequential):
    """A chain whose input is added to its output."""

    def forward(self, X, *, train):
        return X + super().forward(X, train=train)

    def backward(self, dY, *, need_dX=True):
        dX = super().backward(dY, need_dX=need_dX)
        return dY + dX if need_dX else None


def chain(rng, name, depth):
    """Return layers of width 4, some of which return the error they are given, or hold others."""
    layers = []
    for k in range(rng.integers(1, 5)):
        label = f"{name}{k}"
        pick = rng.integers(6 if depth else 3)
        if pick == 0:
            layers.append(Linear(rng.normal(size=(4, 4)), rng.normal(size=4), name=label))
        elif pick == 1:
            layers.append(ReLU(name=label))
        elif pick == 2:
            layers.append(Flatten(name=label))
        elif pick == 3:
            cls = [Sequential, Skip][rng.integers(2)]
            layers.append(cls(chain(rng, label, depth - 1), name=label))
        else:
            two = chain(rng, f"{label}a", depth - 1), chain(rng, f"{label}b", depth - 1)
            layers.append((Residual if pick == 4 else Parallel)(*two, name=label))
    return layers


@pytest.mark.parametrize("seed", range(40))
def test_errors_that_share_their_arrays_are_not_overwritten_too_early(seed):
    """In any nesting."""

    def net(kernels):
        rng = np.random.default_rng(seed)
        layers = [Linear(rng.normal(size=(4, 4)), name="first"), *chain(rng, "x", 3)]
        return Network(layers, device=make_device(kernels))

    plain, fused = net("plain"), net("compiled")
    fused.fuse()
    rng = np.random.default_rng(100 + seed)
    for _ in range(2):
        X, dN = rng.normal(size=(2, 3, 4))
        for each in (plain, fused):
            each.forward(X, train=True)
            each.backward(dN)
        pairs = zip(plain.weighted, fused.weighted, strict=True)
        for a, b in pairs:
            close(b.grads["W"], a.grads["W"])


def test_a_deep_network_has_two_arrays_for_errors_and_four_in_its_blocks():
    device = make_device("compiled")
    net = build_network("resnet-20", 5, Condition.parse("BN"), device, shape=(32, 32, 3))
    X = np.random.default_rng(0).normal(size=(B, 32, 32, 3)).astype("f")
    train_step(net, build_optimizer(net, net.condition, 0.1), X, np.arange(B) % 5)
    stores = {id(layer.ops.errors): layer.ops.errors for _, layer in net.walk()}
    largest = B * 32 * 32 * 16
    assert sum(store.size for store in stores.values()) <= 6 * largest


def test_fusing_changes_nothing_in_the_plain_tier():
    net = build_network("mnist", 5, Condition(), make_device("plain"))
    net.fuse()
    assert net.units == net.layers


HEADS = [
    "SGD", "BN+BM", "NuSF", "uSF+BN+BM2", "frSF+BM3", "frSF-30+BM", "brSF+BN+BM3", "brSF-25",
    "RndF+BM", "brSF-25+BM Bottom", "uSF Top", "frSF+BN+BM2 Bottom",
]  # fmt: skip


@pytest.mark.parametrize("kernels", ["compiled", "cpp"])
@pytest.mark.parametrize("head", HEADS)
def test_the_fused_update_is_eq_3_and_the_rule(head, kernels):
    """The same gradients go into both, so that BM's signs cannot differ by rounding."""
    plain, fused = pair("mnist", head, kernels)
    optimizers = [build_optimizer(net, net.condition, rate=1e-3) for net in (plain, fused)]
    rng, get = np.random.default_rng(0), fused.device.to_host

    def put(host):
        return fused.device.asarray(host.copy())

    for _ in range(3):
        for a, b in zip(plain.layers, fused.layers, strict=True):
            a.grads = {name: rng.normal(size=w.shape) for name, w in a.params.items()}
            a.grads = {name: g * (abs(g) > 0.1) for name, g in a.grads.items()}  # and zeros
            b.grads = {name: put(g) for name, g in a.grads.items()}
        for net, optimizer in zip((plain, fused), optimizers, strict=True):
            update(net, optimizer)
        for a, b in zip(plain.layers, fused.layers, strict=True):
            for name in a.params:
                close(get(b.params[name]), a.params[name])
        for a, b in zip(plain.weighted, fused.weighted, strict=True):
            close(get(b.V), a.V)
        for key in optimizers[0].memory:
            close(get(optimizers[1].memory[key]), optimizers[0].memory[key])
    assert plain.updates == fused.updates == 3
    for layer, drawn in plain.drawn.items():
        for name, array in drawn.items():
            np.testing.assert_array_equal(get(fused.drawn[layer][name]), array)


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
        train_step(net, build_optimizer(net, net.condition, rate=1e-3), X, labels)
    for a, b in zip(plain.weighted, fused.weighted, strict=True):
        close(b.V, a.V)


def test_a_formula_of_the_users_is_made_in_one_pass(monkeypatch):
    class Tenth(FeedbackRule):
        def V(self, W):
            return 0.1 * np.sign(W)

        def formula(self, shape, drawn):
            return Formula(CONSTANT, c=0.1)

    plain, fused = pair("mnist", "SGD")
    X, labels = batch("mnist")
    for net in (plain, fused):
        net.rule = Tenth()
        train_step(net, build_optimizer(net, net.condition, rate=1e-3), X, labels)
        monkeypatch.setattr(Network, "refresh_feedback", None)  # which the second does not need
    for a, b in zip(plain.weighted, fused.weighted, strict=True):
        close(b.V, a.V)
    assert plain.updates == fused.updates == 1


def test_V_by_hand_is_used_once_and_not_written_to():
    _, net = pair("mnist", "frSF")
    optimizer, (X, labels) = build_optimizer(net, net.condition, rate=1e-3), batch("mnist")
    mine = np.ones_like(net.weighted[1].W)
    net.weighted[1].V = mine
    train_step(net, optimizer, X, labels)
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
            train_step(net, optimizer, X.astype("float32"), labels)
        return [layer.W for layer in net.weighted] + [layer.V for layer in net.weighted]

    for a, b in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class Clipped(Optimizer):
    """A user's own."""

    def step(self):
        for slot in self.slots:
            slot.layer.params[slot.name] -= self.rate * slot.gradient().clip(-1, 1)


def test_a_users_own_optimizer_is_asked():
    X, labels = batch("mnist")
    nets = pair("mnist", "frSF")
    for net in nets:
        built = build_optimizer(net, net.condition, rate=0.1)
        train_step(net, Clipped(built.slots, built.rate, built.momentum), X, labels)
    for a, b in zip(nets[1].weighted, nets[0].weighted, strict=True):
        close(a.W, b.W)
        close(a.V, b.V)


def test_a_users_own_layer_runs_itself():
    class Leaky(ReLU):
        def forward(self, N, *, train):
            return super().forward(N, train=train) + 0.1 * N

        def backward(self, dY, *, need_dX=True):
            return super().backward(dY) + 0.1 * dY

    rng = np.random.default_rng(0)
    W1, W2 = rng.normal(size=(6, 4)), rng.normal(size=(4, 5))
    nets = [
        Network(
            [Linear(W1.copy(), name="fc1"), Leaky(name="f"), Linear(W2.copy(), name="fc2")],
            device=make_device(kernels),
        )
        for kernels in ("plain", "compiled")
    ]
    nets[1].fuse()
    assert_same_pass(*nets, rng.normal(size=(B, 6)), rng.integers(0, 5, B))


def test_weights_that_are_no_one_piece_learn_all_the_same():
    rng = np.random.default_rng(0)
    net = Network([Linear(rng.normal(size=(5, 6)).T, name="fc1")], device=make_device("compiled"))
    assert not net.layers[0].W.flags.c_contiguous
    net.fuse()
    before = net.layers[0].W.copy()
    train_step(
        net, build_optimizer(net, Condition(), 0.1), rng.normal(size=(B, 6)), np.arange(B) % 5
    )
    assert (before != net.layers[0].W).any()


@pytest.mark.parametrize("head", ["SGD", "RndF"])
def test_another_rule_later_writes_to_arrays_of_its_own(head):
    _, net = pair("mnist", head)
    optimizer, (X, labels) = build_optimizer(net, net.condition, rate=1e-4), batch("mnist")
    kept = {name: drawn["R"].copy() for name, drawn in net.drawn.items() if "R" in drawn}
    train_step(net, optimizer, X, labels)
    net.rule = Condition.parse("uSF").rule()
    train_step(net, optimizer, X, labels)
    for layer in net.weighted:
        np.testing.assert_array_equal(layer.V, np.sign(layer.W))
        assert len(np.unique(layer.W)) > 3
    for name, R in kept.items():
        np.testing.assert_array_equal(net.drawn[name]["R"], R)


@pytest.mark.parametrize("head", ["uSF", "NuSF", "frSF", "frSF-50"])
def test_the_first_layers_V_waits_until_it_is_asked_for(head):
    _, net = pair("mnist", head)
    first, *others = net.weighted
    train_step(net, build_optimizer(net, net.condition, rate=1e-4), *batch("mnist"))
    first.W[0] *= -1  # after the update: a V made by then would not follow
    for layer in others:
        layer.W[0] *= -1
    np.testing.assert_array_equal(first.V, net.rule.V(first.W, **net.drawn[first.name]))
    assert first.V is first.V
    for layer in others:
        now = net.rule.V(layer.W, **net.drawn[layer.name])
        np.testing.assert_array_equal(layer.V[0], -now[0])


def test_an_unfused_network_leaves_earlier_arrays_alone():
    net = build_network("mnist", 5, Condition.parse("brSF"), make_device("compiled"), trace=True)
    optimizer, (X, labels) = build_optimizer(net, net.condition, rate=1e-4), batch("mnist")
    X = X.astype("float32")
    train_step(net, optimizer, X, labels)
    V, g = net.weighted[0].V, net.weighted[0].grads["W"]
    kept = V.copy(), g.copy()
    train_step(net, optimizer, X, labels)
    np.testing.assert_array_equal(V, kept[0])
    np.testing.assert_array_equal(g, kept[1])
    assert net.weighted[0].V is not V


def test_evaluations_of_a_fused_network_do_not_overwrite_each_other():
    _, net = pair("mnist", "frSF")
    first = net.forward(batch("mnist", 1)[0], train=False)
    kept = first.copy()
    net.forward(batch("mnist", 2)[0], train=False)
    np.testing.assert_array_equal(first, kept)


def test_an_error_of_another_shape_is_refused():
    _, net = pair("mnist", "SGD")
    net.forward(batch("mnist")[0], train=True)
    with pytest.raises(InputError, match=r"'fc4': dY has shape \(5, 5\).*expected \(7, 5\)"):
        net.backward(np.zeros((5, 5)))
    with pytest.raises(InputError, match="dtype float32"):
        net.backward(np.zeros((7, 5), "float32"))


def test_batch_norm_of_another_width_is_refused():
    layers = [Linear(np.zeros((6, 4)), name="fc1"), BatchNorm(3, name="bn1")]
    net = Network(layers, device=make_device("compiled"))
    net.fuse()
    with pytest.raises(InputError, match="'bn1' expects 3 features"):
        net.forward(np.zeros((2, 6)), train=True)


def test_a_fused_network_is_checked_layer_by_layer():
    _, net = pair("mnist", "SGD")
    report = gradcheck(net, *batch("mnist"), directions=1)
    assert report.ok
    assert {"relu1", "pool1"} <= {row.layer for row in report.rows}
    assert net.fused
    assert net.units != net.layers
