"""A rule is pure, and returns what it should; each mistake is an error that names it."""

import itertools

import numpy as np
import pytest

from minibp import Condition, Network
from minibp.errors import InputError
from minibp.feedback import FeedbackRule, FixedRandomMagnitude, get_rule
from minibp.layers import Linear
from minibp.ops.sign import sign
from minibp.ops.update import CONSTANT, FLIPPED, MAGNITUDE, Formula
from minibp.rng import Streams

SAME = "    def V(self, W): return W"
HEAD = "import numpy as np\nfrom minibp.feedback import FeedbackRule\n\nclass R(FeedbackRule):\n"
counter = itertools.count()


def net(rule, W=None):
    W = np.random.default_rng(0).normal(size=(4, 3)) if W is None else W
    return Network([Linear(W, name="fc")], rule=rule, streams=Streams(0, dtype="float64"))


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("    pass", "rule .*rule.py:R has no V: expected a method V"),
        ("    def v(self, W): return W", "has no V"),
        ("    def V(self, W): pass", "layer 'fc': V returned None, expected an array"),
        ("    def V(self, W): return W.tolist()", "V returned a list"),
        ("    def V(self, W): return W.T", r"V has shape \(3, 4\).*expected W's: \(4, 3\)"),
        ("    def V(self, W): return W.astype('f4')", "dtype float32, expected W's"),
        ("    def V(self, W): return W @ W", r"rule.py:5: `def V.*` raised ValueError: matmul"),
        ("    def V(self, W): return W * np.nan", "12 of 12 elements of the first V are NaN"),
        ("    def V(self, W): W *= 0.5; return W", "raised ValueError: .*read-only"),
        (
            "    def draw(self, shape, rng): pass\n" + SAME,
            "draw returned None",
        ),
        (
            "    def draw(self, shape, rng): return [1, 2]\n" + SAME,
            "draw returned a list, expected a dict of arrays by name",
        ),
        (
            "    def draw(self, shape, rng): return {'R': 2.0}\n    def V(self, W, R): return W",
            "draw returned a float for 'R'",
        ),
        (
            "    def draw(self, shape, rng): return {'Q': rng.normal(shape)}\n"
            "    def V(self, W, M): return W * M",
            r"draw returned Q, but V takes \(W, M\)",
        ),
        (
            "    def __init__(self, scale=1): pass\n" + SAME,
            "its __init__ takes",
        ),
        (
            "    redraw = 'epoch'\n" + SAME,
            "redraw = 'epoch': expected 'once' or",
        ),
        (
            "    takes_p = 'no'\n" + SAME,
            "takes_p = 'no': expected True or False",
        ),
        ("    replayable = 1\n" + SAME, "replayable = 1: expected True or"),
    ],
)
def test_a_mistake_in_a_rule_is_named(tmp_path, body, match):
    path = tmp_path / "rule.py"
    path.write_text(f"{HEAD}{body}\n")
    with pytest.raises(InputError, match=match):
        net(Condition(feedback=f"{path}:R").rule())


class Halves(FeedbackRule):
    def draw(self, shape, rng):
        return {"D": rng.normal(shape)}

    def V(self, W, D):
        D *= 0.5
        return W + D


class Counts(FeedbackRule):
    def V(self, W):
        return W * next(counter)


class OwnNumbers(FeedbackRule):
    def V(self, W):
        return np.random.default_rng(next(counter)).normal(size=W.shape)


class DrawsItsOwn(FeedbackRule):
    def draw(self, shape, rng):
        return {"R": np.random.default_rng(next(counter)).normal(size=shape)}

    def V(self, W, R):
        return R


@pytest.mark.parametrize("rule", [Counts, OwnNumbers, DrawsItsOwn])
def test_a_rule_with_a_memory_of_its_own_is_refused(rule):
    with pytest.raises(InputError, match=f"rule {rule.__name__}, layer 'fc': asked twice"):
        net(rule())


def test_what_was_drawn_cannot_be_written_to():
    with pytest.raises(InputError, match=r"rule Halves, layer 'fc': .*read-only"):
        net(Halves())


def test_a_rule_that_writes_to_W_is_found_where_arrays_cannot_be_protected(monkeypatch):
    class Writes(FeedbackRule):
        def V(self, W):
            W *= 0.5
            return W

    monkeypatch.setattr("minibp.guard.read_only", lambda array: array)  # as on a GPU
    with pytest.raises(InputError, match="rule Writes, layer 'fc': V writes to the W it is given"):
        net(Writes())


class Scaled(FeedbackRule):
    """V = c sign(W), with a formula that may say something else."""

    says = Formula(CONSTANT, c=0.5)

    def V(self, W):
        return 0.5 * sign(W)

    def formula(self, shape, drawn):
        return self.says


class DrawsNormal(FixedRandomMagnitude):
    redraw = "batch"

    def draw(self, shape, rng):
        return {"M": rng.normal(shape)}

    formula = FixedRandomMagnitude.formula


def test_a_formula_is_held_to_V():
    net(Scaled())
    for says in (Formula(CONSTANT, c=0.6), Formula(MAGNITUDE, M=np.ones((4, 3)))):
        rule = Scaled()
        rule.says = says
        with pytest.raises(InputError, match="rule Scaled, layer 'fc': its formula gives another"):
            net(rule)
    with pytest.raises(InputError, match=r"rule DrawsNormal, .*: its formula gives another V"):
        net(DrawsNormal())
    rule = Scaled()
    rule.says = Formula(MAGNITUDE, M=np.ones((3, 2)))
    with pytest.raises(InputError, match=r"M has shape \(3, 2\) .*, expected W's: \(4, 3\)"):
        net(rule)
    rule.says = 0.5
    with pytest.raises(InputError, match="formula returned a float, expected a Formula or None"):
        net(rule)


@pytest.mark.parametrize("given", [(7,), (MAGNITUDE,), (FLIPPED, 0.0, np.ones(1))])
def test_a_formula_without_what_it_needs_is_refused(given):
    with pytest.raises(InputError, match="expected kind KEEP, CONSTANT, MAGNITUDE with M, or"):
        Formula(*given)


def test_a_misspelt_attribute_of_one_rule_is_found_too():
    rule = get_rule("frSF")()
    rule.redraw = "epoch"
    with pytest.raises(InputError, match="redraw = 'epoch'"):
        net(rule)


@pytest.mark.parametrize("head", ["SGD", "uSF", "frSF-30", "brSF", "RndF"])
def test_the_rules_arrays_are_the_networks_own(head):
    """No read-only view is left behind: V = W is W, and R is what was drawn."""
    found = net(Condition.parse(head).rule())
    layer = found.weighted[0]
    assert layer.V.flags.writeable
    assert (layer.V is layer.W) == (head == "SGD")
    for array in found.drawn["fc"].values():
        assert array.flags.writeable
        assert (layer.V is array) == (head == "RndF")


def test_exploded_weights_make_no_rule_a_faulty_one():
    """Only the start is checked: a run that diverges later is a result."""
    found = net(Condition.parse("BP").rule())
    found.weighted[0].W[...] = np.inf
    found.refresh_feedback()
    assert np.isinf(found.weighted[0].V).all()
