"""V that learns: each rule against its equation, and as a run's state."""

import numpy as np
import pytest
from conftest import make_device

from minibp import (
    Condition,
    Conv2D,
    FeedbackRule,
    Flatten,
    Linear,
    Network,
    PaperRecipe,
    ReLU,
    Run,
    Settings,
    build_network,
    build_optimizer,
    get_device,
    train_step,
)
from minibp.errors import InputError
from minibp.feedback import get_rule, split_name
from minibp.losses import one_hot
from minibp.optim import eq3
from minibp.rng import Streams
from minibp.training.data import Data
from minibp.training.schedule import BatchSchedule

LEARNED = ("KP", "WM", "SA", "AA", "IA", "PFA", "DKP", "lateSF", "noisySF-5", "trickleSF")
AFAR = ("DFA", "sDFA", "DRTP")
FIXED = ("SS", "uSF-SN", "RndF-SN")


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    X = rng.integers(0, 100, (30, 28, 28, 1)) + 70 * y[:, None, None, None]
    X = X.astype("uint8")
    return Data("toy", X[:24], y[:24], X[24:], y[24:], classes=3)


def run_of(head, toy, kernels, epochs=2):
    settings = Settings(bn_batches=2)
    given = {"condition": Condition.parse(head), "rate": 5e-4, "epochs": epochs}
    recipe = PaperRecipe(model="mnist", batches=BatchSchedule(12), settings=settings, **given)
    return Run(recipe, toy, make_device(kernels))


def copied(state):
    arrays, meta = state
    return {name: array.copy() for name, array in arrays.items()}, meta


ON_A_GPU = ("KP", "WM", "PFA", "DRTP")  # the others are slow there


def cases():
    for rule in (*LEARNED, *AFAR, *FIXED):
        for kernels in ("plain", "compiled", "cpp"):
            slow = kernels == "cpp" and rule not in ON_A_GPU
            yield pytest.param(rule, kernels, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("rule", "kernels"), list(cases()))
def test_it_resumes_to_the_same_bits(rule, kernels, toy):
    head = f"{rule}+BN" if rule != "KP" else "KP+BN+BM"
    run = run_of(head, toy, kernels)
    run.advance()
    kept = copied(run.state())
    run.advance()
    again = run_of(head, toy, kernels)
    again.restore(*kept)
    again.advance()
    (a, _), (b, _) = run.state(), again.state()
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert any(name.startswith("state/") for name in a) is (rule in LEARNED)


def small(rule, dtype="float64", **options):
    """Return a float64 network of a convolution and two vectors' layers, and a batch."""
    rng, device = np.random.default_rng(0), get_device("cpu", "plain")
    layers = [
        Conv2D(rng.normal(size=(3, 3, 2, 3)), name="conv1"),
        ReLU(name="relu1"),
        Conv2D(rng.normal(size=(2, 2, 3, 4)), stride=2, padding=(0, 1, 0, 1), name="conv2"),
        ReLU(name="relu2"),
        Flatten(name="flatten"),
        Linear(rng.normal(size=(16, 5)), rng.normal(size=5), name="fc3"),
    ]
    made = rule if isinstance(rule, FeedbackRule) else get_rule(rule)(sigma=0.3)
    streams = Streams(0, device, dtype)
    given = {"rule": made, "streams": streams, "device": device, "input_shape": (6, 6, 2)}
    return Network(layers, **given | options), rng.normal(size=(4, 6, 6, 2)), rng.integers(0, 5, 4)


def optimizer_of(net, momentum=0.0, decay=0.0, rate=0.01, head="SGD"):
    settings = Settings(momentum=momentum, weight_decay=decay)
    return build_optimizer(net, Condition.parse(head), rate, settings)


def backward(net, X, labels):
    N = net.forward(X, train=True)
    dN = np.exp(N) / np.exp(N).sum(axis=1, keepdims=True) - one_hot(labels, N)
    net.backward(dN / len(X), one_hot(labels, N) / len(X))


def energies(here, A, rule):
    """Return what the rule goes down on, as a function of V, from the equation in its docstring."""
    share = here.X.shape[-1] / here.X.size
    N, S = here.N(here.X), here.N(here.X, A)
    if rule == "AA":
        return share * (0.5 * (S * S).sum() - (S * N).sum())
    if rule == "IA":
        R = here.back(N, A)
        return share * (0.5 * (R * R).sum() - (S * N).sum())
    return 0.5 * (A * A).sum() - (A * here.W).sum()  # SA


@pytest.mark.parametrize("rule", ["AA", "IA", "SA"])
@pytest.mark.parametrize("layer", [1, 2])
def test_a_step_goes_down_on_the_energy(rule, layer):
    net, X, labels = small(rule)
    optimizer = optimizer_of(net)
    backward(net, X, labels)
    layer = net.weighted[layer]
    here, V = net.synapses(layer, net._moves(layer, optimizer)), layer.V.copy()
    share = net.rule.share if rule == "SA" else optimizer.rate
    step = (net.rule.after(here) - V) / share
    rng, eps = np.random.default_rng(1), 1e-5
    for _ in range(3):
        u = rng.normal(size=V.shape)
        up, down = (energies(here, V + sign * eps * u, rule) for sign in (1, -1))
        numeric = (up - down) / (2 * eps)
        assert -(step * u).sum() == pytest.approx(numeric, rel=1e-8)


@pytest.mark.parametrize("head", ["SGD", "BM", "BM2", "BM3"])
def test_kolen_pollack_moves_V_as_W(head):
    """By Eq. 3 both: under SGD the difference decays as if its gradient were 0."""
    net, X, labels = small("KP")
    optimizer = optimizer_of(net, 0.9, 0.1, 0.1, head)
    for layer in net.weighted[1:]:
        layer.V = layer.W + 1.0
    D = [layer.V - layer.W for layer in net.weighted]
    memory = [0 * d for d in D]
    for _ in range(5):
        backward(net, X, labels)
        optimizer.step()
        net.refresh_feedback(optimizer)
        for k, d in enumerate(D):
            tau, memory[k] = eq3(0, 0 * d, d, memory[k], 0.9, 0.1)
            D[k] = d + 0.1 * tau
    for k in (1, 2):
        if head == "SGD":
            np.testing.assert_allclose(net.weighted[k].V - net.weighted[k].W, D[k], rtol=1e-10)
        tau = net.state[net.weighted[k].path]["tau_V"]
        assert tau.shape == net.weighted[k].V.shape


def test_a_mirror_sees_W():
    net, X, labels = small("WM")
    backward(net, X, labels)
    layer = net.weighted[1]
    seen = 0 * layer.W
    for step in range(400):
        net.updates = step + 1
        here = net.synapses(layer, net._moves(layer, None))
        x = here.rng.normal(here.X.shape)
        y = here.N(x)
        seen += here.hebb(x, y) * (y.shape[-1] / y.size) / 400
    # At the border some inputs are padding, so M is W times the share of positions that have one.
    inside = seen[0, 0] / layer.W[0, 0]
    np.testing.assert_allclose(inside, 1, atol=0.25)


def test_product_feedback_is_a_product():
    net, X, labels = small("PFA")
    optimizer = optimizer_of(net)
    for _ in range(3):
        backward(net, X, labels)
        optimizer.step()
        net.refresh_feedback(optimizer)
    for layer in net.weighted[1:]:
        B, R = net.drawn[layer.path]["B"], net.state[layer.path]["R"]
        np.testing.assert_array_equal(layer.V, R @ B.T)
        assert not np.array_equal(R, net.drawn[layer.path]["R"])


def test_late_signs_are_late():
    net, X, labels = small("lateSF")
    net.rule.every = 3
    optimizer, layer = optimizer_of(net, rate=0.4, head="BM"), net.weighted[1]
    M = net.drawn[layer.path]["M"]
    known = np.sign(layer.W)
    for step in range(1, 8):
        backward(net, X, labels)
        optimizer.step()
        net.refresh_feedback(optimizer)
        known = np.sign(layer.W) if step % 3 == 0 else known
        np.testing.assert_array_equal(layer.V, M * known)


def trained(head, kernels, factor):
    """Return all W after three steps with V `factor` times as large."""

    class Scaled(get_rule(Condition.parse(head).feedback)):
        def V(self, W, **drawn):
            return super().V(W, **drawn) * factor

    net = build_network("mnist", 5, Condition.parse(head), get_device("cpu", kernels, 1), 0)
    net = Network(
        net.layers,
        rule=Scaled(),
        streams=net.streams,
        device=net.device,
        input_shape=net.input_shape,
    )
    net.fuse()
    optimizer = build_optimizer(net, Condition.parse(head), rate=1e-3)
    rng = np.random.default_rng(0)
    for _ in range(3):
        X = rng.normal(size=(6, 28, 28, 1)).astype("float32")
        train_step(net, optimizer, X, rng.integers(0, 5, 6))
    return [layer.W for layer in net.weighted]


# Frobenius and Muon are for weights; biases, which BN replaces but in the last layer, take plain
# steps.
GAUGED = "RndF+BM DFA+BM frSF+BM frSF+BM2 RndF+BM3 RndF+BN+BM frSF+BN+BM".split()
GAUGED += "frSF+BN+Frobenius DFA+BN+Frobenius RndF+BN+Muon DFA+BN+Muon".split()


@pytest.mark.parametrize("kernels", ["plain", "compiled"])
@pytest.mark.parametrize("head", [*GAUGED, "RndF", "frSF+BN"])
def test_powers_of_two_in_V_change_no_bit_of_W_in_a_norm(head, kernels):
    """dX is a power of two as large, exactly, and its direction in a norm is the same. Without one,
    the step is as much larger."""
    one, four = (trained(head, kernels, factor) for factor in (1, 4))
    same = [np.array_equal(a, b) for a, b in zip(one, four, strict=True)]
    assert all(same) if head in GAUGED else not any(same)


@pytest.mark.parametrize(
    ("head", "error", "transports"),
    [
        ("SGD", "own", True),
        ("uSF", "own", True),
        ("frSF", "own", True),
        ("RndF", "own", False),
        ("KP", "own", False),
        ("WM", "own", False),
        ("SA", "own", True),
        ("AA", "own", False),
        ("lateSF(every=1)", "own", True),
        ("DFA", "output", False),
        ("sDFA", "sign", False),
        ("DRTP", "targets", False),
        ("DKP", "output", False),
    ],
)
def test_the_certificate_of_locality(toy, head, error, transports):
    run = run_of(head, toy, "compiled", epochs=1)
    run.advance()
    found = run.network.locality()
    assert (found["error"], found["transports_weights"]) == (error, transports)


def test_parameters_stand_in_the_name():
    condition = Condition.parse("WM(share=0.05)+BN+BM2 Bottom")
    assert condition.feedback == "WM(share=0.05)"
    assert condition.rule().share == 0.05
    assert Condition.parse(str(condition)) == condition
    assert split_name("lateSF(every=7)") == ("lateSF", {"every": 7})
    assert condition.rule() is not condition.rule()
    assert Condition.parse("WM").rule().share == 0.02  # the class's own is as it was


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("WM(shar=1)", "no parameter 'shar': it has share"),
        ("KP(share=1)", "it has none"),
        ("WM(share=2)", "expected a number from 0 to 1"),
        ("WM(share=x)", "NAME=NUMBER"),
        ("lateSF(every=0)", "a whole number over 0"),
    ],
)
def test_parameters_that_there_are_not(name, match):
    with pytest.raises(InputError, match=match):
        Condition(name).rule()


class Wrong(FeedbackRule):
    def V(self, W):
        return 0.5 * W


def rule_of(after):
    return type("Wrong", (Wrong,), {"after": after})()


@pytest.mark.parametrize(
    ("after", "match"),
    [
        (lambda self, here: here.V[..., :1], r"layer 'conv2': V has shape .* expected W's"),
        (lambda self, here: here.V.astype("float32"), "dtype float32"),
        (lambda self, here: None, "after returned None"),
        (lambda self, here: here.V * np.nan, "after update 1, 48 of 48 elements of V are NaN"),
        (lambda self, here: here.W.__imul__(2), "read-only"),
        (lambda self, here: here.nothing, "nothing"),
        (lambda self, here: here.state.update(n=1) or here.V, r"here.state\['n'\] is a int"),
    ],
)
def test_an_after_that_is_wrong_is_told(after, match):
    net, X, labels = small(rule_of(after))
    optimizer = optimizer_of(net)
    backward(net, X, labels)
    optimizer.step()
    with pytest.raises(InputError, match=match):
        net.refresh_feedback(optimizer)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda M: M[:1], r"here.state\['M'\] has shape \(1, .* expected what it had before"),
        (lambda M: M.astype("float32"), "dtype float32, expected what it had before"),
    ],
)
def test_a_state_that_changes_its_kind_is_told(wrong, match):
    def after(self, here):
        here.state["M"] = wrong(here.state["M"]) if here.state else 1.0 * here.V
        return here.V

    net, X, labels = small(rule_of(after))
    optimizer = optimizer_of(net)
    train_step(net, optimizer, X, labels)
    with pytest.raises(InputError, match=match):
        train_step(net, optimizer, X, labels)


def test_eq_3_needs_the_optimizer():
    net, X, labels = small("KP")
    backward(net, X, labels)
    optimizer_of(net).step()
    with pytest.raises(InputError, match=r"refresh_feedback\(optimizer\)"):
        net.refresh_feedback()


def test_a_V_that_learns_is_not_drawn_anew():
    with pytest.raises(InputError, match="leave out redraw"):
        type("R", (Wrong,), {"after": lambda self, here: here.V, "redraw": "batch"})
