import dataclasses
from pathlib import Path

import pytest

from minibp import Settings
from minibp.errors import InputError

ASSUMPTIONS = Path(__file__).parents[2] / "docs" / "assumptions.md"


@pytest.mark.parametrize("setting", dataclasses.fields(Settings), ids=lambda entry: entry.name)
def test_every_setting_is_explained_with_its_default(setting):
    default = (
        str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)
    )
    rows = [line for line in ASSUMPTIONS.read_text().splitlines() if f"`{setting.name}`" in line]
    assert any(f"`{default}`" in line for line in rows)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"gradient": "median"}, "gradient='median': expected one of mean, sum"),
        ({"momentum": 1.5}, "momentum=1.5: expected a finite number from 0 to 1"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"bn_batches": 0}, "bn_batches=0"),
        ({"init": "big"}, "init='big'"),
        ({"init": "-1"}, "init='-1'"),
        ({"momentun": 0.5}, "did you mean 'momentum'"),
        ({"weight_decay": float("nan")}, "weight_decay=nan"),
    ],
)
def test_bad_values(change, match):
    with pytest.raises(InputError, match=match):
        Settings().replace(**change)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("bn_eps", "1e-3", 1e-3),
        ("bn_batches", "5", 5),
        ("decay_bn", "False", False),
        ("init", "0.05", "0.05"),
    ],
)
def test_from_text(name, text, value):
    assert Settings.from_text(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("bn_eps", "small", "expected float"),
        ("decay_bn", "maybe", "true or false"),
        ("bn_esp", "1", "did you mean 'bn_eps'"),
    ],
)
def test_from_bad_text(name, text, match):
    with pytest.raises(InputError, match=match):
        Settings.from_text(name, text)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"decay_biases": "false"}, "decay_biases='false': expected true or false"),
        ({"decay_bn": 1}, "decay_bn=1: expected true or false"),
        ({"bn_batches": 2.5}, "bn_batches=2.5: expected a whole number of 1 or more"),
        ({"bn_batches": True}, "bn_batches=True: expected a whole number"),
        ({"weight_decay": float("inf")}, "weight_decay=inf: expected a finite number of 0 or more"),
        ({"momentum": "0.9"}, "momentum='0.9': expected a finite number from 0 to 1"),
    ],
)
def test_a_value_of_another_kind_is_refused(changes, match):
    with pytest.raises(InputError, match=match):
        Settings(**changes)
