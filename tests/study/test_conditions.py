import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp import Condition
from minibp.errors import InputError

HEADS = {
    2: "SGD BM BN BN+BM uSF NuSF uSF+BM uSF+BN uSF+BN+BM brSF+BN+BM frSF+BN+BM".split(),
    3: (
        "SGD brSF-100+BN+BM brSF-75+BN+BM brSF-50+BN+BM brSF-25+BN+BM brSF+BN+BM"
        " frSF-100+BN+BM frSF-75+BN+BM frSF-50+BN+BM frSF-25+BN+BM frSF+BN+BM"
    ).split(),
    4: "SGD RndF NuSF BN RndF+BN RndF+BM RndF+BN+BM uSF+BN+BM".split()
    + [
        f"{model} {frozen}"
        for model in ("SGD", "RndF", "RndF+BN+BM", "uSF+BN+BM")
        for frozen in ("Bottom", "Top")
    ],
    5: "SGD BM1 BM2 BM3 uSF+BN uSF+BN+BM1 uSF+BN+BM2 uSF+BN+BM3".split(),
}
ALL = [head for heads in HEADS.values() for head in heads]


def test_the_papers_46_heads_are_35_conditions():
    assert len(ALL) == 46
    assert len({Condition.parse(head) for head in ALL}) == 35


@pytest.mark.parametrize("head", dict.fromkeys(ALL))
def test_heads_print_as_they_stand(head):
    assert str(Condition.parse(head)) == head.replace("BM1", "BM")


conditions = st.builds(
    lambda rule, p, bn, affine, bm, freeze: Condition(
        rule,
        p if rule in ("brSF", "frSF") else None,
        bn,
        affine if bn or affine != "on" else "auto",
        bm,
        freeze,
    ),
    rule=st.sampled_from(["BP", "uSF", "NuSF", "brSF", "frSF", "RndF"]),
    p=st.none() | st.floats(0, 1),
    bn=st.booleans(),
    affine=st.sampled_from(["auto", "on", "off"]),
    bm=st.integers(0, 3),
    freeze=st.sampled_from([None, "bottom", "top"]),
)


@given(conditions)
def test_parse_and_str_are_inverse(condition):
    assert Condition.parse(str(condition)) == condition


@given(conditions, conditions)
def test_different_conditions_print_differently(a, b):
    assert (a == b) == (str(a) == str(b))


def test_a_users_rule_in_a_head(tmp_path):
    path = tmp_path / "my-rules.py"
    path.write_text(
        "from minibp.feedback import FeedbackRule\n"
        "class Mine(FeedbackRule):\n    takes_p = True\n    def V(self, W): return W\n"
    )
    condition = Condition.parse(f"{path}:Mine-25+BN+BM Top")
    assert (condition.feedback, condition.p, condition.bm) == (f"{path}:Mine", 0.25, 1)
    assert Condition.parse(str(condition)) == condition


@pytest.mark.parametrize("head", ["BN", "BN+BM", "BN+BM2"])
def test_learnable_bn_in_plain_bn(head):
    assert Condition.parse(head).learns_bn


@pytest.mark.parametrize("head", ["SGD", "BM", "uSF+BN", "frSF+BN+BM", "BN Bottom", "RndF+BN+BM"])
def test_and_nowhere_else(head):
    assert not Condition.parse(head).learns_bn


def test_overriding_learnable_bn():
    assert Condition.parse("uSF+BN(affine)+BM").learns_bn
    assert not Condition.parse("BN(plain)").learns_bn
    assert Condition(bn=True, bn_affine="on") == Condition.parse("BN")
    assert Condition("uSF", bn=True, bn_affine="off") == Condition.parse("uSF+BN")


@pytest.mark.parametrize(
    "head",
    ["", " ", "uSF+", "+BN", "BM+BN", "uSF BN", "uSF+BN+BM4", "uSF+BNx", "uSF bottom", "-25"],
)
def test_nonsense(head):
    with pytest.raises(InputError, match=r"cannot read condition|unknown feedback rule"):
        Condition.parse(head)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"feedback": "brSF", "p": 1.5}, "p=1.5: expected a probability"),
        ({"feedback": "brSF", "p": -0.1}, "p=-0.1"),
        ({"feedback": "brSF", "p": float("nan")}, "p=nan"),
        ({"feedback": "uSF", "p": 0.0}, "'uSF' has no flip probability"),
        ({"bm": 4}, "bm=4"),
        ({"freeze": "middle"}, "freeze='middle'"),
        ({"bn_affine": "on"}, "needs bn=True"),
        ({"bn": True, "bn_affine": "yes"}, "bn_affine='yes'"),
        ({"feedback": "urSF"}, "did you mean 'uSF'"),
    ],
)
def test_bad_values(arguments, match):
    with pytest.raises(InputError, match=match):
        Condition(**arguments)


@pytest.mark.parametrize("head", ["frSF-2.5.0+BN", "frSF-...+BN"])
def test_a_percentage_that_is_none_is_refused(head):
    with pytest.raises(InputError, match="is no percentage of flipped signs"):
        Condition.parse(head)


def test_bn_and_bm_are_not_taken_from_texts():
    for wrong in ({"bn": "false"}, {"bm": True}):
        with pytest.raises(InputError, match="expected"):
            Condition(**wrong)
