"""Words of errors."""

import pytest

from minibp.errors import counted, differing, listed, printable, unknown


def test_an_unknown_name_has_its_neighbour_and_all_that_are_known():
    text = str(unknown("rule", "frFS", ["BP", "frSF"]))
    assert text == "unknown rule 'frFS'; did you mean 'frSF'? Known: BP, frSF"
    assert "did you mean" not in str(unknown("rule", "zzz", ["BP"]))


@pytest.mark.parametrize(("n", "text"), [(0, "0 classes"), (1, "1 class"), (2, "2 classes")])
def test_numbers_of_things(n, text):
    assert counted(n, "class") == text


def test_lists_and_letters():
    assert listed(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert printable("a\udcffb") == "a\\xffb"
    assert differing({"a": 1}, {"b": 2}) == ["a was 1, now None", "b was None, now 2"]
