import numpy as np
import pytest

from minibp import softmax_cross_entropy
from minibp.errors import InputError
from minibp.losses import LOSSES, sigmoid_cross_entropy, smoothed


def test_value_and_gradient_by_the_formula(device, rng):
    N, labels = rng.normal(size=(5, 4)), np.array([0, 3, 3, 1, 2])
    E, dN = softmax_cross_entropy(device.asarray(N), device.asarray(labels))
    P = np.exp(N) / np.exp(N).sum(axis=1, keepdims=True)
    assert device.to_host(E) == pytest.approx(-np.log(P[np.arange(5), labels]).mean())
    np.testing.assert_allclose(device.to_host(dN), (P - np.eye(4)[labels]) / 5, atol=1e-15)


def test_sigmoids_value_and_gradient_by_the_formula(device, rng):
    N, labels = rng.normal(size=(5, 4)), np.array([0, 3, 3, 1, 2])
    E, dN = sigmoid_cross_entropy(device.asarray(N), device.asarray(labels))
    P, T = 1 / (1 + np.exp(-N)), np.eye(4)[labels]
    expected = -(T * np.log(P) + (1 - T) * np.log(1 - P)).sum() / 5
    assert device.to_host(E) == pytest.approx(expected)
    np.testing.assert_allclose(device.to_host(dN), (P - T) / 5, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_smoothed_targets_by_the_formula(name, device, rng):
    N, labels, s = rng.normal(size=(5, 4)), np.array([0, 3, 3, 1, 2]), 0.3
    T = (1 - s) * np.eye(4)[labels] + s / 4
    P = (
        np.exp(N) / np.exp(N).sum(axis=1, keepdims=True)
        if name == "softmax"
        else 1 / (1 + np.exp(-N))
    )
    E = -(T * np.log(P)).sum() / 5 - ((1 - T) * np.log(1 - P)).sum() / 5 * (name == "sigmoid")
    found, dN = smoothed(LOSSES[name], s)(device.asarray(N), device.asarray(labels))
    assert device.to_host(found) == pytest.approx(E)
    np.testing.assert_allclose(device.to_host(dN), (P - T) / 5, atol=1e-15)
    assert smoothed(LOSSES[name], 0.0) is LOSSES[name]


@pytest.mark.parametrize(
    "loss",
    [*LOSSES.values(), smoothed(softmax_cross_entropy, 0.2)],
    ids=[*LOSSES, "smoothed softmax"],
)
def test_gradient_against_differences(loss, device, rng):
    N, labels = rng.normal(size=(3, 4)), device.asarray([0, 3, 1])
    _, dN = loss(device.asarray(N), labels)
    for i, j in np.ndindex(N.shape):
        step = np.zeros_like(N)
        step[i, j] = 1e-5
        high, low = (loss(device.asarray(N + s), labels)[0] for s in (step, -step))
        numeric = (device.to_host(high) - device.to_host(low)) / 2e-5
        assert device.to_host(dN)[i, j] == pytest.approx(numeric, abs=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stable_for_large_logits(device, dtype):
    N = device.asarray([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype)
    E, dN = softmax_cross_entropy(N, device.asarray([1, 0]))
    assert device.to_host(E) == pytest.approx((2e4 + 2e4 + np.log(2)) / 2, rel=1e-6)
    expected = np.array([[1, -1, 0], [-1, 0.5, 0.5]]) / 2
    np.testing.assert_allclose(device.to_host(dN), expected, atol=1e-7)
    assert dN.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoids_are_stable_for_large_logits(device, dtype):
    N = device.asarray([[1e4, -1e4, 1e4]], dtype)
    E, dN = sigmoid_cross_entropy(N, device.asarray([0]))
    assert (device.to_host(E), device.to_host(dN).tolist()) == (1e4, [[0, 0, 1]])
    assert (E.dtype, dN.dtype) == (dtype, dtype)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("labels", [[0, 4], [-1, 0]])
def test_labels_out_of_range(labels, loss):
    with pytest.raises(InputError, match="has 4 outputs"):
        loss(np.zeros((2, 4)), np.array(labels))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("labels", [np.zeros(3, int), np.zeros(2), np.zeros((2, 1), int)])
def test_labels_of_another_kind(labels, loss):
    with pytest.raises(InputError, match=r"integer labels \(B,\)"):
        loss(np.zeros((2, 4)), labels)
