import itertools

import numpy as np
import pytest
from strict_array import StrictDevice

from minibp import Condition, Network, build_network, build_optimizer, get_device
from minibp.errors import InputError
from minibp.layers import Conv2D, Flatten, Layer, Linear, ReLU
from minibp.training.run import step

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
    losses = [step(net, optimizer, *batch) for batch in arrays]
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
    redrawn = 3 * 4 * 2 if head.startswith("brSF") else 0  # 3 steps, 4 layers, M and S
    assert dict(moved) == ({"to device": redrawn} if redrawn else {})


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


def test_a_layer_that_holds_weighted_layers_is_refused():
    class Residual(Layer):
        def __init__(self, *inner):
            super().__init__("res")
            self.inner = {"branch": list(inner)}

    inner = Linear(np.eye(2), name="a")
    with pytest.raises(InputError, match=r"layer 'res' holds layers with parameters: <Linear a"):
        Network([Residual(inner)])
    with pytest.raises(InputError, match="layer 'res' holds layers"):
        Network([Linear(np.eye(2)), Residual(Residual(inner))])
    assert Network([Linear(np.eye(2)), Residual(ReLU())])  # nothing to place
