"""Every backward pass against numerical derivatives, and tests of the tester."""

import copy
import sys

import numpy as np
import pytest
from conftest import make_device

from minibp import (
    Condition,
    Network,
    Settings,
    build_network,
    build_optimizer,
    get_device,
    gradcheck,
    selfcheck,
)
from minibp.errors import InputError
from minibp.feedback import get_rule
from minibp.gradcheck import GradientError
from minibp.layers import BatchNorm, Conv2D, Linear, MaxPool2D, ReLU
from minibp.losses import LOSSES
from minibp.ops.plain.norm import feature_sum
from minibp.ops.plain.pool import max_pool_dX
from minibp.rng import Streams
from minibp.training.run import train_step

CASES = [name for name, *_ in selfcheck.layer_cases()]


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_layer(name):
    layer, X = next((layer, X[0]) for case, layer, X in selfcheck.layer_cases() if case == name)
    report = gradcheck(layer, X)
    assert report.tolerance == 1e-8
    report.raise_if_failed()


def test_on_each_device(device):
    put = lambda x: device.asarray(x, "float64")  # noqa: E731
    rng = np.random.default_rng(0)
    layer = Conv2D(put(rng.normal(size=(2, 3, 2, 3))), put(rng.normal(size=3)), stride=2)
    layer.V = put(rng.normal(size=(2, 3, 2, 3)))
    X = put(rng.normal(size=(2, 5, 6, 2)))
    gradcheck(layer, X, device=device).raise_if_failed()
    for other in (MaxPool2D((2, 2), 2), BatchNorm(2, scale=put([1, 2]), shift=put([0, 1]))):
        gradcheck(other, X, device=device).raise_if_failed()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_the_networks(loss, rng):
    settings = Settings(loss=loss, init="xavier")
    head, dtype = Condition.parse("SGD"), "float64"
    given = (lambda net, classes: net.output(classes)), 3, head, get_device("cpu"), 0, dtype
    net = build_network(*given, settings, (4,))
    X, labels = rng.normal(size=(5, 4)), np.array([0, 2, 1, 1, 0])
    gradcheck(net, X, labels).raise_if_failed()
    net.loss = lambda N, labels: (LOSSES[loss](N, labels)[0], 1.001 * LOSSES[loss](N, labels)[1])
    assert not gradcheck(net, X, labels).ok


@pytest.mark.parametrize("head", selfcheck.HEADS)
def test_whole_networks_on_each_device(device, head):
    rng = Streams(1, device, "float64")["x"].at(0)
    net = build_network(
        "mnist", 5, Condition.parse(head), device, 0, "float64", Settings(init="he")
    )
    X, labels = rng.normal((3, 28, 28, 1)), device.asarray([4, 0, 2])
    report = gradcheck(net, X, labels, directions=1)
    assert report.tolerance == 1e-7
    report.raise_if_failed()
    symmetric = head in ("SGD", "BN")
    assert any(row.layer == "E: conv1" for row in report.rows) == symmetric


def test_the_demonstration(capsys):
    assert selfcheck.check(make_device("compiled"), ["mnist"], verbose=False)
    assert "MaxPool2D 3x3/2, clipped" in capsys.readouterr().out


@pytest.mark.slow
def test_the_demonstration_on_each_device(device, capsys):
    assert selfcheck.check(device, ["mnist"], verbose=False)
    assert "MaxPool2D 3x3/2, clipped" in capsys.readouterr().out


def test_a_device_that_is_not_there(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert selfcheck.main(["--device", "cuda"]) == 2
    assert "needs CuPy" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_demonstration(capsys):
    assert selfcheck.main([]) == 0
    assert "every backward pass agrees" in capsys.readouterr().out


# Tests of the tester: each of these layers has one planted error.


class WrongSign(Linear):
    def backward(self, dN, *, need_dX=True):
        return -super().backward(dN)


class TransposedV(Linear):
    def backward(self, dN, *, need_dX=True):
        super().backward(dN)
        return dN @ self.V


class WWhereVBelongs(Linear):
    def backward(self, dN, *, need_dX=True):
        super().backward(dN)
        return dN @ self.W.T


class VInTheGradientOfW(Linear):
    def backward(self, dN, *, need_dX=True):
        dX = super().backward(dN)
        self.grads["W"] = self.grads["W"] + 1e-3 * self.V
        return dX


class WrongElement(Linear):
    def backward(self, dN, *, need_dX=True):
        dX = super().backward(dN)
        self.grads["W"][1, 2] *= 1.001
        return dX


class MeanOfTheBias(Linear):
    def backward(self, dN, *, need_dX=True):
        dX = super().backward(dN)
        self.grads["b"] = self.grads["b"] / len(dN)
        return dX


class SlightlyOff(Linear):
    def backward(self, dN, *, need_dX=True):
        return super().backward(dN) * 1.00001


class NotANumber(Linear):
    def backward(self, dN, *, need_dX=True):
        return super().backward(dN) * np.nan


class NoVarianceTerm(BatchNorm):
    def backward(self, dY, *, need_dX=True):
        (std,) = self.recall("std")
        return (dY - feature_sum(dY) * (dY.shape[-1] / dY.size)) / std


class NoMeanTerm(BatchNorm):
    def backward(self, dY, *, need_dX=True):
        Xhat, std = self.recall("Xhat", "std")
        return (dY - Xhat * feature_sum(dY * Xhat) * (dY.shape[-1] / dY.size)) / std


class ToTheWrongCell(MaxPool2D):
    def backward(self, dY, *, need_dX=True):
        X, first = self.recall("X", "first")
        return max_pool_dX(dY, 3 - first, X.shape, self.window, self.stride, self.padding)


class LeakyBackward(ReLU):
    def backward(self, dY, *, need_dX=True):
        return dY * ((self.cache["N"] > 0) + 0.01)


class FilterNotFlipped(Conv2D):
    def backward(self, dN, *, need_dX=True):
        kept, self._V = self._V, self.V[::-1, ::-1]
        try:
            return super().backward(dN)
        finally:
            self._V = kept


class WritesToItsError(Linear):
    def backward(self, dN, *, need_dX=True):
        dN -= dN.max(axis=1, keepdims=True)
        return super().backward(dN)


class NothingAtAll(Linear):
    def backward(self, dN, *, need_dX=True):
        dN *= 0
        return super().backward(dN)


class WritesToItsInput(ReLU):
    def forward(self, N, *, train):
        N *= 0.5
        return super().forward(N, train=train)


def weighted(cls, shape=(4, 4)):
    rng = np.random.default_rng(0)
    layer = cls(rng.normal(size=shape), rng.normal(size=shape[-1]), name="bad")
    layer.V = rng.normal(size=shape)
    return layer


VECTORS = np.random.default_rng(1).normal(size=(5, 4))
IMAGES = np.random.default_rng(1).normal(size=(3, 6, 6, 2))
PLANTED = {
    "a wrong sign": (lambda: weighted(WrongSign), VECTORS, "X"),
    "V transposed": (lambda: weighted(TransposedV), VECTORS, "X"),
    "W where V belongs": (lambda: weighted(WWhereVBelongs), VECTORS, "X"),
    "V in dW": (lambda: weighted(VInTheGradientOfW), VECTORS, "any V"),
    "one wrong element": (lambda: weighted(WrongElement), VECTORS, "W"),
    "a mean for a sum": (lambda: weighted(MeanOfTheBias), VECTORS, "b"),
    "a factor of 1.00001": (lambda: weighted(SlightlyOff), VECTORS, "X"),
    "NaN": (lambda: weighted(NotANumber), VECTORS, "X"),
    "BN without the variance term": (lambda: NoVarianceTerm(4), VECTORS, "X"),
    "BN without the mean term": (lambda: NoMeanTerm(4), VECTORS, "X"),
    "the wrong cell": (lambda: ToTheWrongCell((2, 2), 2), IMAGES, "X"),
    "a leak": (LeakyBackward, VECTORS, "X"),
    "dY written to": (lambda: weighted(WritesToItsError), VECTORS, "dY"),
    "dY made zero": (lambda: weighted(NothingAtAll), VECTORS, "dY"),
    "X written to": (WritesToItsInput, VECTORS, "X"),
    "a flipped filter": (lambda: weighted(FilterNotFlipped, (3, 3, 2, 2)), IMAGES, "X"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_error_is_caught(name):
    make, X, array = PLANTED[name]
    report = gradcheck(make(), X)
    assert not report.ok
    assert array in {row.array for row in report.rows if not row.ok}
    with pytest.raises(GradientError, match="FAILED"):
        report.raise_if_failed()


def test_an_all_ones_cotangent_would_not_see_the_variance_term():
    """Σ Y of BN is constant, so its derivative is 0 with or without the term."""
    layer = NoVarianceTerm(4)
    Y = layer.forward(VECTORS, train=True)
    np.testing.assert_allclose(layer.backward(np.ones_like(Y)), 0, atol=1e-15)


def test_the_wrong_element_is_named():
    report = gradcheck(weighted(WrongElement), VECTORS)
    assert "W[1, 2]" in str(report)


@pytest.mark.parametrize("cls", [WrongSign, WWhereVBelongs, SlightlyOff])
@pytest.mark.parametrize("asymmetric", [False, True])
def test_a_bad_layer_is_found_inside_a_network(cls, asymmetric):
    bad = weighted(cls)
    if not asymmetric:
        bad.V = bad.W
    net = Network([Linear(np.eye(4), name="fc1"), ReLU(name="relu1"), bad])
    report = gradcheck(net, VECTORS, np.array([0, 1, 2, 3, 0]))
    found = {row.layer for row in report.rows if not row.ok}
    if cls is WWhereVBelongs and not asymmetric:
        assert not found  # with V = W it is no error
    else:
        assert "bad" in found
        assert ("E: fc1" in found) == (not asymmetric)


def test_parameters_and_V_are_left_as_they_were():
    layer = weighted(Linear)
    W, V, b = layer.W.copy(), layer.V, layer.b.copy()
    X = VECTORS.copy()
    gradcheck(layer, X)
    np.testing.assert_array_equal(layer.W, W)
    np.testing.assert_array_equal(layer.b, b)
    np.testing.assert_array_equal(X, VECTORS)
    assert layer.V is V


def test_also_after_an_error():
    class Fragile(Linear):
        calls = 0

        def forward(self, X, *, train):
            self.calls += 1
            if self.calls == 7:
                raise ZeroDivisionError
            return super().forward(X, train=train)

    layer = weighted(Fragile)
    W, b = layer.W.copy(), layer.b.copy()
    with pytest.raises(ZeroDivisionError):
        gradcheck(layer, VECTORS)
    np.testing.assert_array_equal(layer.W, W)
    np.testing.assert_array_equal(layer.b, b)


def test_a_gradient_of_exactly_zero_agrees():
    """A bias that BN takes out again: analytically zero but for rounding."""
    rng = np.random.default_rng(0)
    net = Network(
        [
            Linear(rng.normal(size=(4, 3)), rng.normal(size=3), name="fc1"),
            BatchNorm(3, name="bn1"),
            Linear(rng.normal(size=(3, 3)), name="fc2"),
        ]
    )
    gradcheck(net, VECTORS, np.array([0, 1, 2, 0, 1])).raise_if_failed()


def test_inputs_at_a_kink_are_reported():
    report = gradcheck(ReLU(), np.zeros((2, 3)))
    assert not report.ok
    assert "kink" in str(report)


@pytest.mark.parametrize("size", [30, 3000])
def test_elements_at_a_kink_are_skipped_and_said(size, device):
    X = np.random.default_rng(0).normal(size=(size // 5, 5))
    X[0, 0] = X[2, 3] = 0
    report = gradcheck(ReLU(), device.asarray(X), device=device)
    assert report.ok
    assert "(2 elements at a kink skipped)" in str(report)


def test_a_tie_is_skipped_and_said():
    X = IMAGES.copy()
    X[0, 0, 0, 0] = X[0, 0, 1, 0] = 5
    report = gradcheck(MaxPool2D((2, 2), 2), X)
    assert report.ok
    assert "(2 elements at a kink skipped)" in str(report)


def test_an_error_beside_a_kink_is_found():
    X = VECTORS.copy()
    X[0, 0] = 0
    assert not gradcheck(LeakyBackward(), X).ok


def test_too_many_at_a_kink():
    X = np.random.default_rng(0).normal(size=(100, 50))
    X[:50] = 0
    report = gradcheck(ReLU(), X)
    assert not report.ok
    assert "part equal values" in str(report)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["X", "bad/W", "bad/b", "bad/V"])
def test_what_is_not_finite_is_said_to_be(name, value):
    layer, X = weighted(Linear), VECTORS.copy()
    array = X if name == "X" else getattr(layer, name[-1])
    array.reshape(-1)[1] = value
    with pytest.raises(InputError, match=f"1 of {array.size} elements of {name} are NaN or inf"):
        gradcheck(layer, X)
    net = Network([layer])
    with pytest.raises(InputError, match=f"elements of {name} are NaN or infinite"):
        gradcheck(net, X, np.array([0, 1, 2, 3, 0]))


def test_a_layer_that_gives_nan_does_not_write_to_its_input():
    class Undefined(ReLU):
        def forward(self, N, *, train):
            return super().forward(N, train=train) * np.nan

    report = gradcheck(Undefined(), VECTORS)
    assert not report.ok
    assert np.isnan(report.worst)
    assert "writes to" not in str(report)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"eps": 0}, "eps 0: expected a finite number of more than 0"),
        ({"eps": -1e-5}, "eps -1e-05: expected"),
        ({"eps": np.nan}, "eps nan: expected"),
        ({"tolerance": 0}, "tolerance 0: expected"),
        ({"tolerance": np.inf}, "tolerance inf: expected"),
        ({"directions": 0}, "directions 0: expected an integer of 1 or more"),
        ({"directions": 1.5}, "directions 1.5: expected"),
        ({"seed": -1}, "seed -1: expected"),
        ({"labels": np.zeros(5, int)}, "labels are for a network"),
    ],
)
def test_numbers_with_which_nothing_would_be_compared(options, words):
    with pytest.raises(InputError, match=words):
        gradcheck(weighted(Linear), VECTORS, **options)


def test_an_input_without_samples():
    with pytest.raises(InputError, match=r"X has shape \(0, 4\): expected one element or more"):
        gradcheck(weighted(Linear), VECTORS[:0])


def test_labels_out_of_range(device):
    net = Network([Linear(device.asarray(np.eye(4)))], device=device)
    with pytest.raises(InputError, match="labels run from 0 to 4"):
        gradcheck(net, device.asarray(VECTORS), device.asarray(np.arange(5)))


def test_what_cannot_be_written_to():
    """An input is copied; of parameters the very arrays have to be perturbed."""
    layer, X = weighted(Linear), VECTORS.copy()
    X.flags.writeable = False
    assert gradcheck(layer, X).ok
    layer.W.flags.writeable = False
    with pytest.raises(InputError, match="bad/W cannot be written to"):
        gradcheck(layer, VECTORS)


def test_single_precision_is_refused():
    with pytest.raises(InputError, match="X is float32"):
        gradcheck(ReLU(), VECTORS.astype("float32"))
    with pytest.raises(InputError, match="needs labels"):
        gradcheck(Network([weighted(Linear)]), VECTORS)


# V that learns, and errors from afar


def blocks(feedback):
    """Return a network of each kind of block under a rule or its name, with an input and labels."""
    device = get_device("cpu", "plain")
    name = feedback if isinstance(feedback, str) else "KP"
    net = selfcheck.all_blocks(Condition.parse(name), device)
    if not isinstance(feedback, str):
        given = {"streams": net.streams, "device": device, "input_shape": net.input_shape}
        net = Network(net.layers, rule=feedback, **given)
    rng = np.random.default_rng(0)
    return net, rng.normal(size=(4, 14, 13, 2)), np.array([0, 1, 2, 3])


class TwiceAsSteep(get_rule("PFA")):
    def energy(self, here, V):
        return 2 * super().energy(here, V)


def test_an_energy_that_does_not_fit_its_step_is_named():
    report = gradcheck(*blocks(TwiceAsSteep()))
    failed = {(row.layer, row.array) for row in report.rows if not row.ok}
    assert failed == {(f"layer{n}", "V") for n in (2, 3, 4)}  # layer1's V is not used


@pytest.mark.parametrize("rule", ["PFA", "WM", "DKP"])
def test_a_check_leaves_a_V_that_learns_and_its_state_as_they_were(rule):
    net, X, labels = blocks(rule)
    optimizer = build_optimizer(net, Condition.parse(rule), 0.01)
    train_step(net, optimizer, X, labels)
    state = {path: dict(arrays) for path, arrays in net.state.items()}
    kept = copy.deepcopy([state, [layer.V for layer in net.weighted]])
    report = gradcheck(net, X, labels, tolerance=1e-8)
    report.raise_if_failed()
    assert [row.layer for row in report.rows if row.array == "V"] == ["layer2", "layer3", "layer4"]
    np.testing.assert_equal([net.state, [layer.V for layer in net.weighted]], kept)


@pytest.mark.parametrize(
    ("energy", "match"),
    [
        (lambda self, here, V: V * here.dW, r"layer 'layer2': energy returned an array of shape"),
        (lambda self, here, V: None, "energy returned None, expected one number"),
    ],
)
def test_an_energy_that_is_no_number(energy, match):
    rule = type("Odd", (get_rule("KP"),), {"energy": energy})()
    with pytest.raises(InputError, match=match):
        gradcheck(*blocks(rule))


@pytest.mark.parametrize("rule", ["DFA", "sDFA", "DRTP", "DKP"])
def test_an_error_from_afar_that_is_not_the_product_with_V_is_found(rule, monkeypatch):
    right = Linear.dX_from_afar
    monkeypatch.setattr(Linear, "dX_from_afar", lambda self: 1.0001 * right(self))
    report = gradcheck(*blocks(rule))
    assert {(row.layer, row.array) for row in report.rows if not row.ok} == {
        ("layer3", "X"),
        ("layer4", "X"),
    }
