"""The picture of a grid: every error is a mark, where it belongs."""

import re

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.study.conditions import Condition
from minibp.study.overview import FLOOR, KINDS, overview, rules_of

OURS = {
    Condition.parse(head): error
    for head, error in {
        "SGD": 1.0,
        "BN+BM": 0.5,
        "RndF": 10.0,
        "frSF-50+BN+BM": 2.0,
        "RndF Top": 70.0,  # not drawn, like the next two
        "BM2": 60.0,
        "RndF+Muon": 50.0,
    }.items()
}


def marks(svg):
    """Return (x, y, colour) of each mark within the axes, as they lie in the picture."""
    text = svg.decode()
    body = text[text.index('id="axes_1"') : text.index('id="legend_1"')]
    found = re.findall(
        r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="fill: (#\w+); stroke: \3', body
    )
    return [(float(x), float(y), colour) for x, y, colour in found]


def test_every_error_is_a_mark_in_its_column_and_colour():
    svg = overview(OURS, {}, "a title")
    found = marks(svg)
    colours = [colour for _, colour in KINDS.values()]
    assert sorted(colour for *_, colour in found) == sorted(
        [colours[0], colours[3], colours[0], colours[3]]
    )
    by_x = sorted(found)  # BP: SGD and BN+BM; frSF-50: BN+BM; RndF: SGD
    assert [colour for *_, colour in by_x] == [colours[k] for k in (0, 3, 3, 0)]
    heights = [-y for _, y, _ in by_x]
    logs = np.log([1.0, 0.5, 2.0, 10.0])
    np.testing.assert_allclose(
        np.diff(heights) / np.diff(logs), np.diff(heights)[0] / np.diff(logs)[0], rtol=1e-4
    )


def test_the_papers_marks_are_beside_ours():
    plain, both = overview(OURS, {}, ""), overview(OURS, {Condition(): 3.0}, "")
    assert b"the paper" not in plain
    assert b"the paper" in both
    assert len(marks(both)) == len(marks(plain)) + 1


def test_only_the_rules_asked_for():
    svg = overview(OURS, {Condition(): 3.0}, "", rules=["RndF"])
    assert len(marks(svg)) == 1
    assert b"the paper" not in svg


def test_no_error_at_all_is_drawn_at_the_floor():
    assert marks(overview({Condition(): 0.0}, {}, "")) == marks(
        overview({Condition(): FLOOR}, {}, "")
    )


def test_the_same_errors_give_the_same_bytes():
    assert overview(OURS, {}, "a") == overview(OURS, {}, "a")


def test_a_title_is_text():
    assert b"a$b_1$ &lt;c&gt;" in overview(OURS, {}, "a$b_1$ <c>")


def test_nothing_to_draw_says_so():
    with pytest.raises(InputError, match="no picture"):
        overview({Condition.parse("SGD Top"): 1.0}, {}, "")


def test_rules_come_in_the_papers_order_and_others_after():
    heads = ["KP+BN", "RndF", "brSF-50+BN+BM", "brSF+BN+BM", "NuSF", "uSF", "BN", "DFA"]
    assert rules_of({Condition.parse(head): 1.0 for head in heads}) == (
        ["BP", "uSF", "NuSF", "brSF", "brSF-50", "RndF", "DFA", "KP"]
    )
