"""Central differences agree with gradients that are right, and with no others."""

import numpy as np
import pytest

from minibp import get_device
from minibp.differences import Probe, size_of
from minibp.rng import Streams


@pytest.fixture
def probe():
    device = get_device("cpu", "plain")
    return Probe(device, 1e-8, 1e-5, 3, Streams(0, device, "float64"))


def smooth(w):
    """Return F = Σ sin w, as a probe takes it: its value, and the size of what is summed."""
    return lambda: (float(np.sin(w).sum()), float(abs(np.sin(w)).sum()))


@pytest.mark.parametrize("size", [12, 200])  # element by element, too, and by directions alone
def test_a_right_gradient_agrees_and_w_is_left_as_it_was(probe, size):
    w = np.random.default_rng(0).normal(size=size)
    kept = w.copy()
    row = probe.compare("fc", "W", smooth(w), list, w, np.cos(w))
    assert row.ok
    assert row.error < 1e-8
    np.testing.assert_array_equal(w, kept)


@pytest.mark.parametrize("size", [12, 200])
def test_one_wrong_element_is_found(probe, size):
    w = np.random.default_rng(0).normal(size=size)
    g = np.cos(w)
    g[7] += 1e-4
    row = probe.compare("fc", "W", smooth(w), list, w, g)
    assert not row.ok
    assert size == 200 or row.where == "W[7]"


def test_a_direction_across_a_kink_is_drawn_again(probe):
    w = np.array([1e-7, 0.5, -2.0])
    F = lambda: (float(abs(w).sum()), float(abs(w).sum()))  # noqa: E731
    row = probe.compare("relu", "X", F, lambda: [w > 0], w, np.sign(w))
    assert row.ok
    blind = probe.compare("relu", "X", F, list, w, np.sign(w))
    assert not blind.ok  # without word of the kink, differences across it are taken as they come


def test_directions_have_no_small_elements(probe):
    u = probe.direction("fc/W", (50, 20))
    assert abs(u).min() >= 0.5
    assert abs(u).max() <= 1.5
    assert 0.4 < (u > 0).mean() < 0.6
    assert probe.differ(u, probe.direction("fc/W", (50, 20), step=1))


def test_nan_is_the_same_as_nan_and_worse_than_any_number(probe):
    a = np.array([1.0, np.nan])
    assert not probe.differ(a, a.copy())
    assert probe.differ(a, np.array([1.0, 2.0]))
    assert size_of(float("nan")) > size_of(1e300)
