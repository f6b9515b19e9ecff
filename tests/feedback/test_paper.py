"""Section 2, rule by rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp import Condition, Network
from minibp.errors import InputError
from minibp.feedback import FixedRandomMagnitude, Uniform, get_rule
from minibp.layers import Conv2D, Linear
from minibp.ops.update import MAGNITUDE, Formula
from minibp.rng import Streams

CONV, FC = (3, 2, 2, 5), (6, 7)


def network(device, head, seed=0):
    rng = np.random.default_rng(1)
    layers = [
        Conv2D(device.asarray(rng.normal(size=CONV)), name="conv"),
        Linear(device.asarray(rng.normal(size=FC)), name="fc"),
    ]
    streams = Streams(seed, device, "float64")
    return Network(layers, rule=Condition.parse(head).rule(), streams=streams)


def V_and_W(device, net):
    return [(device.to_host(layer.V), device.to_host(layer.W)) for layer in net.layers]


def flip_W(net):
    for layer in net.layers:
        layer.W *= -2
    net.refresh_feedback()


def test_bp(device):
    net = network(device, "SGD")
    flip_W(net)
    assert all(layer.V is layer.W for layer in net.layers)


def test_usf(device):
    for V, W in V_and_W(device, network(device, "uSF")):
        np.testing.assert_array_equal(V, np.sign(W))


def test_nusf_divides_by_the_filters_inputs(device):
    (conv, W), (fc, U) = V_and_W(device, network(device, "NuSF"))
    np.testing.assert_allclose(conv, np.sign(W) / 12)
    np.testing.assert_allclose(fc, np.sign(U) / 6)


@pytest.mark.parametrize("head", ["uSF", "NuSF", "frSF", "brSF"])
def test_strict_concordance_follows_the_signs_of_W(device, head):
    net = network(device, head)
    flip_W(net)
    for V, W in V_and_W(device, net):
        np.testing.assert_array_equal(np.sign(V), np.sign(W))


@pytest.mark.parametrize("head", ["frSF", "frSF-30"])
def test_frsf_keeps_its_magnitudes(device, head):
    net = network(device, head)
    before = V_and_W(device, net)
    flip_W(net)
    for (V, _), (old, _) in zip(V_and_W(device, net), before, strict=True):
        np.testing.assert_array_equal(V, -old)
        assert (abs(V) < 1).all()
        assert len(np.unique(abs(V))) == V.size  # magnitudes really are random


@pytest.mark.parametrize("head", ["brSF", "brSF-30"])
def test_brsf_redraws_after_each_update(device, head):
    net = network(device, head)
    seen = []
    for _ in range(3):
        seen += [abs(V) for V, _ in V_and_W(device, net)]
        net.refresh_feedback()
    assert len(np.unique(np.concatenate([V.ravel() for V in seen]))) == 3 * (60 + 42)


def test_brsf_and_frsf_start_alike_and_draws_are_paired_with_p(device):
    heads = ("frSF", "brSF", "frSF-40")
    pairs = [V_and_W(device, network(device, head)) for head in heads]
    for (fixed, _), (batch, _), (flipped, _) in zip(*pairs, strict=True):
        np.testing.assert_array_equal(fixed, batch)
        np.testing.assert_array_equal(abs(fixed), abs(flipped))


@pytest.mark.parametrize("rule", ["frSF", "brSF"])
def test_p_is_the_probability_of_a_flip(device, rule):
    shares = {}
    for percent in (0, 25, 50, 100):
        big = Linear(device.asarray(np.random.default_rng(0).normal(size=(200, 100))), name="fc")
        condition = Condition.parse(f"{rule}-{percent}")
        Network([big], rule=condition.rule(), streams=Streams(0, device, "float64"))
        V, W = device.to_host(big.V), device.to_host(big.W)
        shares[percent] = (np.sign(V) != np.sign(W)).mean()
    assert shares[0] == 0
    assert shares[100] == 1
    for percent in (25, 50):  # five standard deviations of a binomial share of 20,000
        p = percent / 100
        assert abs(shares[percent] - p) < 5 * np.sqrt(p * (1 - p) / 20_000)


@given(p=st.floats(0, 1), q=st.floats(0, 1))
def test_a_larger_p_adds_flips_to_those_of_a_smaller(p, q):
    p, q = sorted((p, q))
    low, high = (Streams(0)["s"].at(0).signs((50,), r) for r in (p, q))
    assert (high <= low).all()


def test_rndf_is_gaussian_and_fixed(device):
    net = network(device, "RndF")
    before = V_and_W(device, net)
    flip_W(net)
    for (V, _), (old, _) in zip(V_and_W(device, net), before, strict=True):
        np.testing.assert_array_equal(V, old)
    big = Linear(device.asarray(np.zeros((200, 100))), name="big")
    Network([big], rule=Condition.parse("RndF").rule(), streams=Streams(0, device, "float64"))
    V = device.to_host(big.V)
    assert V.std() == pytest.approx(0.05, rel=0.03)
    assert abs(V.mean()) < 0.002


def test_a_weight_of_zero_gets_feedback_of_zero(device):
    layer = Linear(device.asarray(np.zeros((2, 2))), name="fc")
    Network([layer], rule=Condition.parse("frSF").rule(), streams=Streams(0, device, "float64"))
    np.testing.assert_array_equal(device.to_host(layer.V), 0)


MY_RULE = '''
from minibp.feedback import FeedbackRule

class Half(FeedbackRule):
    """V = W / 2"""
    def V(self, W):
        return W / 2
'''


def test_a_users_own_rule(device, tmp_path):
    path = tmp_path / "my_rules.py"
    path.write_text(MY_RULE)
    net = network(device, f"{path}:Half")
    for V, W in V_and_W(device, net):
        np.testing.assert_array_equal(V, W / 2)


def test_a_rule_that_returns_the_wrong_shape_is_refused(device, tmp_path):
    path = tmp_path / "my_rules.py"
    path.write_text(MY_RULE.replace("W / 2\n", "W[:1]\n"))
    with pytest.raises(InputError, match="V has shape"):
        network(device, f"{path}:Half")


@pytest.mark.parametrize(
    ("text", "name", "match"),
    [
        (None, "{}:Half", "no file"),
        (MY_RULE, "{}:Whole", "no class 'Whole'"),
        ("class Half: pass", "{}:Half", "no class 'Half' derived"),
        ("1 / 0", "{}:Half", "ZeroDivisionError"),
        ("def (", "{}:Half", "SyntaxError"),
    ],
)
def test_files_without_a_rule(tmp_path, text, name, match):
    path = tmp_path / "my_rules.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=match):
        get_rule(name.format(path))


def test_unknown_rules_name_the_nearest():
    with pytest.raises(InputError, match="unknown feedback rule 'frsf'; did you mean 'frSF'"):
        get_rule("frsf")


def test_a_rule_that_overrides_V_or_draw_does_not_inherit_the_formula():
    class Doubled(FixedRandomMagnitude):
        def V(self, W, M, S=1):
            return 2 * M * W

    class Drawn(FixedRandomMagnitude):
        def draw(self, shape, rng):
            return {"M": rng.normal(shape)}

    class Mixin:
        def V(self, W):
            return 3 * W

    class Mixed(Mixin, Uniform):
        pass

    class Same(Uniform):
        pass

    class Own(Doubled):
        def formula(self, shape, drawn):
            return Formula(MAGNITUDE, M=drawn["M"])

    class Below(Own):
        pass

    drawn = {"M": np.ones((2, 3))}
    for rule in (Doubled, Drawn, Mixed):
        assert rule().formula((2, 3), drawn) is None
    assert Same().formula((2, 3), {}).c == 1
    assert Own().formula((2, 3), drawn).M is Below().formula((2, 3), drawn).M is drawn["M"]


def test_a_rule_does_not_inherit_that_it_can_be_replayed():
    class Same(Uniform):
        pass

    assert Uniform.replayable
    assert not Same.replayable
