import itertools

import numpy as np
import pytest
from strict_array import StrictDevice

from minibp import Condition, Network, build_network, build_optimizer, get_device, gradcheck
from minibp.errors import InputError
from minibp.layers import Conv2D, Flatten, Layer, Linear, ReLU, Residual, Sequential
from minibp.ops.tiers import ops_for
from minibp.training.run import train_step

HEADS = [
    "SGD", "BN+BM", "uSF", "NuSF+BM2", "brSF-25+BN+BM", "frSF+BN+BM3", "frSF-50+BM Bottom",
    "RndF+BN", "RndF Top",
]  # fmt: skip


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3, 5, 28, 28, 1)).astype("float32")
    return list(zip(X, rng.integers(0, 10, size=(3, 5)), strict=True))


def train(device, head, batches, dtype="float32"):
    net = build_network("mnist", 10, Condition.parse(head), device, seed=3, dtype=dtype)
    optimizer = build_optimizer(net, net.condition, rate=5e-4)
    arrays = [(device.asarray(X, dtype), device.asarray(y)) for X, y in batches]
    moved = device.transfers.copy()
    losses = [train_step(net, optimizer, *batch) for batch in arrays]
    moved = device.transfers - moved
    weights = [device.to_host(w) for layer in net.layers for w in layer.params.values()]
    weights += [device.to_host(layer.V) for layer in net.weighted]
    return weights, [device.to_host(loss) for loss in losses], moved


@pytest.mark.parametrize("head", HEADS)
def test_a_device_that_forbids_transfers_trains_to_the_same_bits(head, batches):
    plain = train(get_device("cpu", kernels="plain"), head, batches)
    strict = train(StrictDevice(), head, batches)
    for a, b in zip(plain[0] + plain[1], strict[0] + strict[1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("head", HEADS)
def test_steps_move_nothing_but_redrawn_feedback(device, head, batches):
    moved = train(device, head, batches)[2]
    kernels = ops_for(device).compiled
    drawn = 0 if kernels or not head.startswith("brSF") else 3 * 4 * 2  # 3 steps, 4 layers, M and S
    keys = 4 if head.startswith("brSF") else 0  # of its layers' streams, once
    expected = drawn + (keys if kernels and not device.blocking else 0)
    assert dict(moved) == ({"to device": expected} if expected else {})


@pytest.mark.parametrize("head", ["SGD", "frSF+BN"])
def test_single_and_double_precision_train_alike(device, head, batches):
    single, double = (train(device, head, batches, dtype) for dtype in ("float32", "float64"))
    for a, b in zip(single[0] + single[1], double[0] + double[1], strict=True):
        apart = abs(a - b) > 1e-4 * abs(b).max()
        assert apart.mean() < 1e-5  # V jumps where a W next to 0 has another sign


def tiny(device):
    put = lambda x: device.asarray(x, "float64")  # noqa: E731
    rng = np.random.default_rng(0)
    return Network(
        [
            Flatten(name="flatten"),
            Linear(put(rng.normal(size=(4, 3))), put(rng.normal(size=3)), name="fc1"),
            ReLU(name="relu1"),
            Linear(put(rng.normal(size=(3, 2))), name="fc2"),
        ],
        device=device,
        input_shape=(2, 2, 1),
    )


def test_eq_2_through_the_network(device, rng):
    """The error reaches fc1 through V of fc2 and f′; V of fc1 stays unused."""
    net, V = tiny(device), rng.normal(size=(3, 2))
    fc1, fc2 = net.weighted
    fc2.V = device.asarray(V)
    X, dN = rng.normal(size=(5, 2, 2, 1)), rng.normal(size=(5, 2))
    net.forward(device.asarray(X), train=True)
    net.backward(device.asarray(dN))
    N1 = X.reshape(5, 4) @ device.to_host(fc1.W) + device.to_host(fc1.b)
    dN1 = (dN @ V.T) * (N1 > 0)
    np.testing.assert_allclose(device.to_host(fc1.grads["W"]), X.reshape(5, 4).T @ dN1)
    np.testing.assert_allclose(device.to_host(fc1.grads["b"]), dN1.sum(axis=0))
    before = device.to_host(fc1.grads["W"])
    fc1.V = fc1.V * 7
    net.backward(device.asarray(dN))
    np.testing.assert_array_equal(device.to_host(fc1.grads["W"]), before)


def test_trace_tells_what_went_through_each_layer(device, rng):
    net = tiny(device)
    X, dN = device.asarray(rng.normal(size=(5, 2, 2, 1))), device.asarray(rng.normal(size=(5, 2)))
    N = net.forward(X, train=True)
    net.backward(dN)
    rows = net.trace()
    assert [row.name for row in rows] == ["flatten", "fc1", "relu1", "fc2"]
    assert rows[0].X is X
    assert rows[-1].Y is N
    assert rows[-1].dY is dN
    for below, above in itertools.pairwise(rows):
        assert below.Y is above.X
        assert below.dY is above.dX
    assert rows[1].dX is None  # nobody needs the first weighted layer's
    assert rows[3].W is net.weighted[1].W
    assert rows[3].V is net.weighted[1].V
    assert sorted(rows[1].grads) == ["W", "b"]
    assert (rows[2].W, rows[2].grads) == (None, {})


def test_a_trace_prints_every_array_with_its_shape(device, rng):
    net = tiny(device)
    net.forward(device.asarray(rng.normal(size=(5, 2, 2, 1))), train=True)
    net.backward(device.asarray(rng.normal(size=(5, 2))))
    first, hidden = (str(row).splitlines() for row in net.trace()[1:3])
    found = [line.strip() for line in first if "(" in line and "[" not in line]
    assert first[0] == "fc1"
    assert found == [
        "X (5, 4)",
        "W (4, 3)",
        "V (4, 3)",
        "Y (5, 3)",
        "dY (5, 3)",
        "dW (4, 3)",
        "db (3,)",
    ]
    assert not any(line.startswith("  W") for line in hidden)


def test_trace_needs_a_training_step(device, rng):
    net = tiny(device)
    net.forward(device.asarray(rng.normal(size=(5, 2, 2, 1))), train=False)
    with pytest.raises(RuntimeError, match="nothing to trace"):
        net.trace()


def test_a_V_assigned_by_hand_lasts_until_the_next_refresh(device):
    net = build_network("timit", 3, Condition.parse("uSF"), device)
    layer = net.weighted[1]
    layer.V = mine = layer.V * 5
    assert layer.V is mine
    net.refresh_feedback()
    assert layer.V is not mine


def test_wrong_inputs(device):
    net = tiny(device)
    with pytest.raises(InputError, match=r"expects X \(B, 2, 2, 1\), got \(5, 2, 2\)"):
        net.forward(device.asarray(np.zeros((5, 2, 2))), train=True)


def test_names_must_differ(device):
    W = device.asarray(np.zeros((1, 1)))
    with pytest.raises(InputError, match="distinct names, got fc, fc"):
        Network([Linear(W, name="fc"), Linear(W, name="fc")])


def test_printing(device):
    W = device.asarray(np.zeros((1, 1, 2, 3)))
    assert "Conv2D conv1: W (1, 1, 2, 3)" in repr(Network([Conv2D(W, name="conv1")]))


def test_V_that_is_W_follows_an_assigned_W():
    layer = Linear(np.eye(2))
    layer.W = 3 * np.eye(2)
    assert layer.V is layer.W
    layer.V = np.ones((2, 2))
    layer.W = np.eye(2)
    np.testing.assert_array_equal(layer.V, 1)


@pytest.mark.parametrize("W", [np.eye(3), np.eye(2, dtype="float32")])
def test_a_W_of_another_shape_or_dtype_is_refused(W):
    layer = Linear(np.eye(2), name="fc")
    with pytest.raises(InputError, match=r"layer 'fc': W has shape .* expected W's"):
        layer.W = W


@pytest.mark.parametrize("head", ["uSF", "frSF", "RndF"])
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_V_left_behind_is_an_error_at_the_next_training_forward(head, by_hand):
    condition = Condition.parse(head)
    net = build_network("timit", 3, condition, get_device("cpu", "plain"))
    X = np.ones((4, 1845), "float32")
    optimizer = build_optimizer(net, condition, rate=0.01)
    for wait in (False, True):
        N = net.forward(X, train=True)
        net.backward(N)
        if by_hand:
            for layer in net.weighted:
                layer.W = layer.W - layer.grads["W"]
        else:
            optimizer.step()
        if not wait:
            net.refresh_feedback()
    with pytest.raises(RuntimeError, match=r"W changed in fc1, fc2, fc3, .*refresh_feedback"):
        net.forward(X, train=True)
    net.forward(X, train=False)  # uses no V
    net.apply_rule()
    net.forward(X, train=True)


def test_with_V_equal_to_W_nothing_is_left_behind():
    condition = Condition.parse("SGD")
    net = build_network("timit", 3, condition, get_device("cpu", "plain"))
    for _ in range(2):
        net.backward(net.forward(np.ones((4, 1845), "float32"), train=True))
        build_optimizer(net, condition, rate=0.01).step()


def test_a_layer_that_hides_weighted_layers_is_refused():
    class Hiding(Layer):
        def __init__(self, *inner):
            super().__init__("res")
            self.inner = {"branch": list(inner)}

    inner = Linear(np.eye(2), name="a")
    message = r"layer 'res' holds layers with parameters: <Linear a.*return them from children"
    with pytest.raises(InputError, match=message):
        Network([Hiding(inner)])
    with pytest.raises(InputError, match="layer 'res' holds layers"):
        Network([Linear(np.eye(2)), Hiding(Hiding(inner))])
    assert Network([Linear(np.eye(2)), Hiding(ReLU())])  # nothing to place


def eye(name):
    return Linear(np.eye(2), name=name)


def nested():
    return [
        eye("a"),
        Residual([eye("a"), ReLU(name="f"), Sequential([eye("b")], name="in")], name="res"),
        eye("b"),
    ]


def test_walk_finds_layers_inside_of_layers():
    net = Network(nested())
    paths = ["a", "res", "res/a", "res/f", "res/in", "res/in/b", "b"]
    assert [path for path, _ in net.walk()] == paths
    assert [layer.path for _, layer in net.walk()] == paths
    assert [layer.path for layer in net.weighted] == ["a", "res/a", "res/in/b", "b"]
    assert list(net.parameters()) == ["a/W", "res/a/W", "res/in/b/W", "b/W"]
    assert "\n      <Linear b: W (2, 2)>" in repr(net)


def test_a_rule_reaches_V_inside_of_layers(rng):
    net = Network(nested(), rule=Condition.parse("uSF").rule(1.0))
    for layer in net.weighted:
        layer.W += rng.normal(size=(2, 2))
    net.refresh_feedback()
    for layer in net.weighted:
        np.testing.assert_array_equal(layer.V, np.sign(layer.W))


def test_a_trace_has_a_row_for_each_layer_of_the_walk(rng):
    net = Network(nested())
    X = rng.normal(size=(3, 2))
    net.backward(net.forward(X, train=True))
    rows = {row.name: row for row in net.trace()}
    assert list(rows) == [path for path, _ in net.walk()]
    assert rows["res"].X is rows["res/a"].X is rows["a"].Y
    assert rows["res/in"].dY is rows["res/in/b"].dY is rows["res"].dY is rows["b"].dX
    assert rows["res/in"].dX is rows["res/f"].dY
    assert rows["a"].dX is None


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (lambda: [Residual([eye("a"), eye("a")], name="res")], "got a, a in layer 'res'"),
        (lambda: [Residual([eye("a")], [eye("a")], name="res")], "got a, a in layer 'res'"),
        (lambda: [Sequential([layer := eye("a")], name="s"), layer], "layer 'a' is used twice"),
        (lambda: [eye("a/b")], "layer 'a/b': a name has no '/'"),
        (lambda: [Sequential([np.eye(2)], name="s")], "expected layers in layer 's', got array"),
        (lambda: [Sequential([], name="s"), "fc"], "expected layers, got 'fc'"),
    ],
)
def test_layers_that_have_no_path_of_their_own(layers, message):
    with pytest.raises(InputError, match=message):
        Network(layers())


class ByHand(Layer):
    """Y = X + inner(X): a user's layer, which tells of its inner layer only by children()."""

    def __init__(self, inner, name):
        super().__init__(name)
        self.inner = inner

    def children(self):
        return [self.inner]

    def forward(self, X, *, train):
        return X + self.inner.forward(X, train=train)

    def backward(self, dY, *, need_dX=True):
        return dY + self.inner.backward(dY)


def test_a_users_layer_of_layers(rng):
    inner = Linear(rng.normal(size=(3, 3)), name="a")
    layers = [ByHand(inner, "res"), Linear(rng.normal(size=(3, 3)), name="out")]
    net = Network(layers, rule=Condition.parse("uSF").rule(1.0))
    np.testing.assert_array_equal(inner.V, np.sign(inner.W))
    assert net.unused == []  # it asks for its dX all the same
    report = gradcheck(net, rng.normal(size=(4, 3)), np.array([0, 1, 2, 0]))
    assert report.ok, report
    assert {row.layer for row in report.rows} == {"res", "res/a", "out"}


def test_a_parameter_has_one_owner():
    class Twice(ByHand):
        @property
        def params(self):
            return {f"a.{name}": array for name, array in self.inner.params.items()}

    with pytest.raises(InputError, match=r"gives 'a.W' as its own .* layer 'res/a': .*learn twice"):
        Network([Twice(eye("a"), "res")])


def test_the_V_that_no_backward_uses():
    assert [la.path for la in Network([Residual([eye("a")], name="r"), eye("b")]).unused] == ["r/a"]
    assert [la.path for la in Network([ReLU(), eye("b")]).unused] == ["b"]
