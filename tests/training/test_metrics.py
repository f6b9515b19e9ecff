import math

import numpy as np
import pytest

from minibp.training.metrics import angle, confusion, norm, sign_concordance


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
