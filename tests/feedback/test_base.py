"""Names of rules, with and without parameters, and attributes that a rule cannot have."""

import pytest

from minibp.errors import InputError
from minibp.feedback import FeedbackRule, get_rule
from minibp.feedback.base import check_attributes, split_name


def test_a_name_may_have_parameters():
    assert split_name("WM(share=0.05)") == ("WM", {"share": 0.05})
    assert split_name("frSF") == ("frSF", {})
    with pytest.raises(InputError, match="has no parameter 'speed': it has share"):
        get_rule("WM(speed=1)")


@pytest.mark.parametrize(
    ("name", "value"),
    [("redraw", "always"), ("error", "mine"), ("takes_p", 1), ("replayable", None)],
)
def test_attributes_with_a_closed_set_of_values(name, value):
    rule = FeedbackRule()
    setattr(rule, name, value)
    with pytest.raises(InputError, match=f"{name} = .*: expected"):
        check_attributes(rule)


def test_a_rule_without_a_V_says_what_is_expected():
    class Empty(FeedbackRule):
        pass

    with pytest.raises(InputError, match=r"Empty has no V: expected a method V\(self, W"):
        Empty().V(None)
