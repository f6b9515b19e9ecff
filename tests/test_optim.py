"""Eq. 3 followed by hand: each setting, with momentum and weight decay, for every parameter."""

import numpy as np
import pytest

from minibp import Condition, Network, Settings, build_network, build_optimizer
from minibp.errors import InputError
from minibp.layers import BatchNorm, Linear
from minibp.optim import eq3

RATE, M, D = 0.1, 0.9, 0.01
HYPER = Settings(momentum=M, weight_decay=D)
GRADIENTS = [0.5, -2.0, 0.0, 0.003, 0.1, -1.0]  # one that is exactly 0: sign(0) = 0


def sgn(x):
    return int(x > 0) - int(x < 0)


def by_hand(setting, w, gradients, rate=RATE, m=M, d=D):
    """Eq. 3, one number at a time, as it is printed; returns w after each step."""
    tau = kappa = 0.0
    path = []
    for g in gradients:
        if setting == 0:
            tau = -g + m * tau - d * w
        elif setting == 1:
            tau = -sgn(g) + m * tau - d * w
        elif setting == 2:
            tau = sgn(-sgn(g) + m * tau - d * w)
        elif setting == 3:
            kappa = -sgn(g) + m * kappa - d * w
            tau = sgn(kappa)
        w = w + rate * tau
        path.append(w)
    return path


def test_the_hand_itself():
    """Worked out on paper for w = 1, rate 0.1, m = 0.9, d = 0.01."""
    # τ: −0.51; 2 − 0.459 − 0.00949 = 1.53151; 0.9·1.53151 − 0.011022 = 1.367337
    assert by_hand(0, 1.0, GRADIENTS[:3]) == pytest.approx([0.949, 1.102151, 1.2388847], abs=1e-6)
    # τ: −1.01; 1 − 0.909 − 0.00899 = 0.08201; 0.073809 − 0.0090720 = 0.064737
    assert by_hand(1, 1.0, GRADIENTS[:3]) == pytest.approx([0.899, 0.907201, 0.9136747], abs=1e-6)
    # τ: −1; sign(1 − 0.9 − 0.009) = 1; sign(0 + 0.9 − 0.01) = 1
    assert by_hand(2, 1.0, GRADIENTS[:3]) == pytest.approx([0.9, 1.0, 1.1])
    # κ: −1.01; 1 − 0.909 − 0.009 = 0.082; 0.0738 − 0.01 = 0.0638
    assert by_hand(3, 1.0, GRADIENTS[:3]) == pytest.approx([0.9, 1.0, 1.1])
    # Settings 2 and 3 part where κ has grown: 1 − 0.9 − 0.008 > 0, but 1 − 0.9 · 1.918 − 0.008 < 0.
    assert by_hand(2, 1.0, [1, 1, -1]) == pytest.approx([0.9, 0.8, 0.9])
    assert by_hand(3, 1.0, [1, 1, -1]) == pytest.approx([0.9, 0.8, 0.7])


def tiny(device):
    """A network with each kind of parameter."""
    put = lambda x: device.asarray(x, "float64")  # noqa: E731
    rng = np.random.default_rng(0)
    return Network(
        [
            Linear(put(rng.normal(size=(3, 4))), put(rng.normal(size=4)), name="fc1"),
            BatchNorm(4, scale=put([1, 2, 3, 4]), shift=put([0, -1, 1, 0.5]), name="bn1"),
            Linear(put(rng.normal(size=(4, 2))), put(rng.normal(size=2)), name="fc2"),
        ],
        device=device,
    )


def drive(net, optimizer, device, steps):
    """Do steps with known gradients: GRADIENTS[t] plus the element's index / 100."""
    paths = {key: [] for key in optimizer.memory}
    gradients = {key: [] for key in optimizer.memory}
    for t in range(steps):
        for layer in net.layers:
            for name, w in layer.params.items():
                g = GRADIENTS[t] * (1 + np.arange(w.size).reshape(w.shape) / 100)
                layer.grads[name] = device.asarray(g)
                if f"{layer.name}/{name}" in gradients:
                    gradients[f"{layer.name}/{name}"].append(g)
        optimizer.step()
        for key in paths:
            layer_name, name = key.split("/")
            layer = next(layer for layer in net.layers if layer.name == layer_name)
            paths[key].append(device.to_host(layer.params[name]).copy())
    return paths, gradients


@pytest.mark.parametrize("setting", [0, 1, 2, 3])
def test_every_parameter_follows_eq_3(device, setting):
    net = tiny(device)
    start = {
        f"{layer.name}/{name}": device.to_host(w).copy()
        for layer in net.layers
        for name, w in layer.params.items()
    }
    optimizer = build_optimizer(net, Condition(bm=setting), RATE, HYPER)
    assert sorted(optimizer.memory) == sorted(start)
    paths, gradients = drive(net, optimizer, device, steps=6)
    for key, before in start.items():
        for index in np.ndindex(before.shape):
            expected = by_hand(setting, before[index], [g[index] for g in gradients[key]])
            np.testing.assert_allclose([w[index] for w in paths[key]], expected, rtol=1e-12)


@pytest.mark.parametrize("setting", [0, 1])
def test_decay_alone_shrinks_weights(device, setting):
    """With zero gradients only −d·w is left: published sign optimizers dropped it."""
    w, zero = device.asarray([2.0]), device.asarray([0.0])
    tau, _ = eq3(setting, zero, w, 0, M, D)
    np.testing.assert_allclose(device.to_host(tau), [-0.02])


def test_the_memory_is_kept_when_the_rate_drops(device):
    """The rate stands outside the buffer: after a drop the next step is the same τ, at the rate."""
    net = tiny(device)
    optimizer = build_optimizer(net, Condition(), RATE, Settings(momentum=M, weight_decay=0.0))
    drive(net, optimizer, device, steps=2)
    tau = device.to_host(optimizer.memory["fc1/W"]).copy()
    before = device.to_host(net.layers[0].W).copy()
    optimizer.rate = RATE / 10
    net.layers[0].grads["W"] = 0 * net.layers[0].W
    optimizer.step()
    after = device.to_host(net.layers[0].W)
    np.testing.assert_allclose(after - before, RATE / 10 * M * tau, rtol=1e-9)


@pytest.mark.parametrize(
    ("freeze", "learning"),
    [
        (None, {"fc1", "bn1", "fc2"}),
        ("bottom", {"fc1", "bn1"}),
        ("top", {"fc2"}),
    ],
)
def test_freezing(device, freeze, learning):
    net = tiny(device)
    start = {layer.name: {n: device.to_host(w).copy() for n, w in layer.params.items()}
             for layer in net.layers}  # fmt: skip
    drive(net, build_optimizer(net, Condition(freeze=freeze), RATE, HYPER), device, steps=3)
    for layer in net.layers:
        for name, w in layer.params.items():
            moved = (device.to_host(w) != start[layer.name][name]).all()
            still = (device.to_host(w) == start[layer.name][name]).all()
            assert moved if layer.name in learning else still


def one_step(device, condition=None, **settings):
    """Return how far each parameter moved in one step with gradient 0.5 (1 + index / 100)."""
    net = tiny(device)
    before = [
        {n: device.to_host(w).copy() for n, w in layer.params.items()} for layer in net.layers
    ]
    optimizer = build_optimizer(net, condition or Condition(), RATE, HYPER.replace(**settings))
    drive(net, optimizer, device, steps=1)
    return {
        f"{layer.name}/{n}": (device.to_host(w) - old[n], old[n])
        for layer, old in zip(net.layers, before, strict=True)
        for n, w in layer.params.items()
    }


def decayed(moves, key):
    move, old = moves[key]
    g = 0.5 * (1 + np.arange(old.size).reshape(old.shape) / 100)
    with_decay, without = -RATE * (g + D * old), -RATE * g
    assert not np.allclose(with_decay, without, rtol=1e-6)
    if np.allclose(move, with_decay, rtol=1e-12):
        return True
    np.testing.assert_allclose(move, without, rtol=1e-12)
    return False


def test_what_decays(device):
    keys = ["fc1/W", "fc1/b", "bn1/scale"]
    assert [decayed(one_step(device), key) for key in keys] == [True, True, True]
    moves = one_step(device, decay_biases=False)
    assert [decayed(moves, key) for key in keys] == [True, False, True]
    moves = one_step(device, decay_bn=False)
    assert [decayed(moves, key) for key in keys] == [True, True, False]


def test_bm_of_weights_alone(device):
    moves = one_step(device, Condition(bm=1), bm_scope="weights")
    move, old = moves["fc1/W"]
    np.testing.assert_allclose(move, -RATE * (1 + D * old), rtol=1e-12)
    assert decayed(moves, "fc1/b")  # by the gradient itself


def test_multipliers(device):
    plain = one_step(device)
    moves = one_step(device, weight_rate=0.1, bias_rate=2.0, last_layer_rate=0.5)
    factors = {"fc1/W": 0.1, "fc1/b": 2, "bn1/scale": 1, "bn1/shift": 1, "fc2/W": 0.05, "fc2/b": 1}
    for key, factor in factors.items():
        np.testing.assert_allclose(moves[key][0], factor * plain[key][0], rtol=1e-9)


def test_a_bias_that_is_not_there_is_not_updated(device):
    net = build_network("timit", 3, Condition.parse("BN+BM"), device)
    keys = build_optimizer(net, net.condition, rate=1.0).memory
    assert "fc1/b" not in keys
    assert {"fc3/b", "bn1/scale", "bn1/shift", "fc1/W"} <= set(keys)


def test_errors(device):
    net = tiny(device)
    with pytest.raises(InputError, match="rate -1"):
        build_optimizer(net, Condition(), rate=-1)
    with pytest.raises(RuntimeError, match="run backward first"):
        build_optimizer(net, Condition(), rate=1).step()
    with pytest.raises(InputError, match="settings 0 to 3"):
        eq3(4, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("rate", [-1e-3, float("nan"), float("inf")])
def test_a_rate_that_is_no_finite_number_is_refused(device, rate):
    with pytest.raises(InputError, match=f"rate {rate}: expected a finite number of 0 or more"):
        build_optimizer(tiny(device), Condition(), rate)


def test_momentum_and_decay_are_those_of_the_settings(device):
    settings = Settings(momentum=0.5, weight_decay=0.0)
    optimizer = build_optimizer(tiny(device), Condition(), RATE, settings)
    assert optimizer.momentum == 0.5
    assert {slot.decay for slot in optimizer.slots} == {0.0}
