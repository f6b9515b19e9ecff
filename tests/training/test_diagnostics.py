"""Diagnostics, against what they are by definition."""

import numpy as np
import pytest
from strict_array import StrictDevice

from minibp import Condition, Settings, build_network, build_optimizer, get_device, train_step
from minibp.training.diagnostics import KEYS, diagnose
from minibp.training.spectra import effective_rank


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 28, 28, 1)).astype("float32"), np.arange(6)


def diagnosed(head, device, batch):
    net = build_network("mnist", 10, Condition.parse(head), device)
    return net, diagnose(net, device.asarray(batch[0]), device.asarray(batch[1]))


def test_backpropagation_is_aligned_with_itself(device, batch):
    _, rows = diagnosed("BN", device, batch)
    assert list(rows) == ["conv1", "conv2", "fc3", "fc4"]
    for row in rows.values():
        assert (row["sign_concordance"], row["angle_V_W"], row["angle_dW"]) == (1, 0, 0)
    assert rows["conv1"]["norm_dX"] is None
    assert rows["conv2"]["norm_dX"] > 0


def test_random_feedback_is_not(device, batch):
    net, rows = diagnosed("RndF+BN", device, batch)
    assert rows["fc3"]["sign_concordance"] == pytest.approx(0.5, abs=0.01)
    assert rows["fc3"]["angle_V_W"] == pytest.approx(90, abs=1)
    assert 20 < rows["conv1"]["angle_dW"] < 160
    assert rows["fc4"]["angle_dW"] == 0  # the last layer's dW doesn't pass through any V
    first = net.weighted[0]
    assert first.V is not first.W


def test_every_layer_has_every_key_and_finite_numbers_or_none(device, batch):
    _, rows = diagnosed("frSF+BN+BM", device, batch)
    for row in rows.values():
        assert tuple(row) == KEYS
        assert all(
            value is None or (type(value) is float and np.isfinite(value)) for value in row.values()
        )
    assert all(row["angle_update"] is None for row in rows.values())  # it was given no optimizer
    assert rows["fc4"]["dead_share"] is None  # no ReLU follows


def test_the_angle_of_the_error_is_that_of_both_products(device, batch):
    """At the last layer Eq. 2 is one product: dN Vᵀ beside dN Wᵀ."""
    net, rows = diagnosed("RndF", device, batch)
    last, host = net.weighted[-1], device.to_host
    N = net.forward(device.asarray(batch[0]), train=True)
    dN = host(net.loss(N, device.asarray(batch[1]))[1]).astype("float64")
    a, b = (dN @ host(array).astype("float64").T for array in (last.V, last.W))
    cosine = (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
    assert rows["fc4"]["angle_dX"] == pytest.approx(np.degrees(np.arccos(cosine)), abs=0.01)
    V, W = host(last.V), host(last.W)
    assert rows["fc4"]["norm_V_W"] == pytest.approx(np.linalg.norm(V) / np.linalg.norm(W), rel=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_ranks_and_dead_units_are_what_arrays_say(fused, batch):
    device = get_device("cpu")
    net = build_network("mnist", 10, Condition.parse("RndF"), device, trace=not fused)
    fc3 = net.weighted[2]
    b = fc3.b.copy()
    b[:125] = -100  # a quarter of the units is dead
    fc3.b = b
    X, labels = batch
    rows = diagnose(net, X, labels)
    assert rows["fc3"]["dead_share"] >= 0.25
    with net.unfused():
        net.backward(net.loss(net.forward(X, train=True), labels)[1])
        found = {row.name: row for row in net.trace()}
        for name in ("conv2", "fc3", "fc4"):
            J = found[name].W.shape[-1]
            dN, dW = found[name].dY.reshape(-1, J), found[name].grads["W"].reshape(-1, J)
            assert rows[name]["rank_dN"] == pytest.approx(effective_rank(dN), rel=1e-6)
            assert rows[name]["rank_dW"] == pytest.approx(effective_rank(dW), rel=0.01)
        dead = (found["relu3"].Y <= 0).all(axis=0).mean()
    assert rows["fc3"]["dead_share"] == pytest.approx(dead)


def test_the_angle_of_updates_is_that_of_what_eq_3_takes(batch):
    device = get_device("cpu", "plain")
    for head, other in (("RndF", "equal"), ("RndF+BM", "signs"), ("RndF+Muon", "other")):
        net = build_network("mnist", 10, Condition.parse(head), device)
        optimizer = build_optimizer(net, net.condition, rate=1e-3)
        row = diagnose(net, *batch, optimizer)["fc3"]
        if other == "equal":
            assert row["angle_update"] == row["angle_dW"]
        else:
            assert abs(row["angle_update"] - row["angle_dW"]) > 1e-3


def test_errors_from_afar_have_an_angle_but_V_has_none(device, batch):
    _, rows = diagnosed("DFA", device, batch)
    assert 0 < rows["fc4"]["angle_dX"] < 180
    assert rows["fc4"]["angle_V_W"] is rows["fc4"]["sign_concordance"] is None


def test_a_plug_ins_state_is_left_alone(batch):
    net = build_network("mnist", 10, Condition.parse("RndF+Adam"), get_device("cpu"))
    optimizer = build_optimizer(net, net.condition, rate=1e-3)
    train_step(net, optimizer, *batch)
    kept = {(k, n): a.copy() for k, state in optimizer.states.items() for n, a in state.items()}
    diagnose(net, *batch, optimizer)
    now = {(k, n): a for k, state in optimizer.states.items() for n, a in state.items()}
    assert kept
    assert kept.keys() == now.keys()
    assert all((kept[key] == now[key]).all() for key in kept)


def test_a_gpu_is_asked_for_few_numbers(batch):
    """Ranks take their arrays to the host; all else comes in one piece a layer."""
    device = StrictDevice()
    net = build_network("mnist", 10, Condition.parse("RndF"), device, settings=Settings(init="he"))
    X, labels = map(device.asarray, batch)
    before = device.transfers["to host"]
    diagnose(net, X, labels)
    assert device.transfers["to host"] - before == 3 * len(net.weighted)


def test_zero_gradients_have_no_angle_and_are_counted(device, batch):
    net = build_network("mnist", 10, Condition.parse("RndF"), device)
    fc3 = net.weighted[2]
    fc3.b -= 100  # every unit of the hidden layer is dead
    rows = diagnose(net, device.asarray(batch[0]), device.asarray(batch[1]))
    assert rows["fc3"]["zero_share"] == 1
    assert rows["fc3"]["angle_dW"] is None


def test_diagnosing_leaves_training_alone(batch):
    device = get_device("cpu", kernels="plain")
    net = build_network("mnist", 10, Condition.parse("brSF-25+BN"), device)
    before = [(layer.W.copy(), layer.V.copy(), net.updates) for layer in net.weighted]
    diagnose(net, *batch)
    for layer, (W, V, updates) in zip(net.weighted, before, strict=True):
        np.testing.assert_array_equal(layer.W, W)
        np.testing.assert_array_equal(layer.V, V)
        assert net.updates == updates
    assert all(layer.mean is None for layer in net.batch_norms())
