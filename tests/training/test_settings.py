"""Settings of any run: declared once, checked by their declaration."""

from dataclasses import dataclass

import pytest

from minibp.errors import InputError
from minibp.training.settings import RunSettings, flag, number, one_of


@dataclass(frozen=True)
class Own(RunSettings):
    colour: str = one_of("red", "blue", help="of the picture")
    share: float = number(0.5, 0, 1, help="of it")
    whole: bool = flag(True, help="or in part")


def test_a_study_adds_its_own():
    own = Own(colour="blue", share=1)
    assert (own.colour, own.bn_batches) == ("blue", 20)
    assert Own.choices("colour") == ("red", "blue")
    assert Own.from_text("whole", "FALSE") is False
    assert own.replace(share=0.1).colour == "blue"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"colour": "green"}, "colour='green': expected one of red, blue"),
        ({"share": 2}, "share=2: expected a finite number from 0 to 1"),
        ({"whole": 1}, "whole=1: expected true or false"),
        ({"bn_batches": 1.5}, "bn_batches=1.5: expected a whole number of 1 or more"),
    ],
)
def test_values_that_it_cannot_have(given, match):
    with pytest.raises(InputError, match=match):
        Own(**given)
    with pytest.raises(InputError, match="did you mean 'colour'"):
        Own().replace(color="red")
