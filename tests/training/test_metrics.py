import math

import numpy as np
import pytest

from minibp import Condition, build_network, get_device
from minibp.training.metrics import angle, confusion, diagnose, norm, sign_concordance


def host(device, x):
    return float(device.to_host(x))


def test_a_confusion_matrix_is_that_of_its_pairs(rng):
    labels, predicted = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    full = np.zeros((5, 5), int)
    for true, found, count in confusion(labels, predicted.astype("int32"), 5):
        assert count > 0
        full[true, found] = count
    assert all(
        full[i, j] == ((labels == i) & (predicted == j)).sum() for i in range(5) for j in range(5)
    )


def test_sign_concordance(device):
    V = device.asarray([1.0, -2.0, 3.0, 0.0], "float64")
    W = device.asarray([5.0, -1.0, -1.0, 0.0], "float64")
    assert host(device, sign_concordance(V, W)) == 0.75


@pytest.mark.parametrize("degrees", [0.001, 30, 90, 135, 180])
def test_angle(device, degrees):
    radians = math.radians(degrees)
    a = device.asarray([2.0, 0.0, 0.0], "float64")
    b = device.asarray([3 * math.cos(radians), 3 * math.sin(radians), 0.0], "float64")
    assert host(device, angle(a, b)) == pytest.approx(degrees, rel=1e-9)


def test_equal_arrays_have_an_angle_of_exactly_zero(device):
    a = device.asarray(np.linspace(-1, 3, 1001), "float32")
    assert host(device, angle(a, a + 0)) == 0


def test_norm_of_values_whose_square_overflows(device):
    assert host(device, norm(device.asarray([3e30, 4e30], "float32"))) == pytest.approx(5e30)
    assert host(device, norm(device.asarray([0.0, 0.0], "float32"))) == 0


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
