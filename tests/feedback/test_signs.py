"""Rules with W's signs, at their own scale."""

import numpy as np
import pytest

from minibp.feedback import get_rule
from minibp.rng import Streams


def made(name, W, **given):
    rule = get_rule(name)(**given)
    return rule.V(W, **rule.draw(W.shape, Streams(0, dtype="float64")["x"].at(0)))


def test_each_has_its_scale(rng):
    W = rng.normal(size=(3, 3, 4, 6))
    np.testing.assert_allclose(abs(made("SS", W)), np.sqrt(2 / (9 * 4 + 9 * 6)))
    for name in ("uSF-SN", "RndF-SN"):
        assert np.linalg.norm(made(name, W)) == pytest.approx(np.linalg.norm(W))
    for name in ("SS", "uSF-SN", "lateSF", "noisySF", "trickleSF"):
        np.testing.assert_array_equal(np.sign(made(name, W)), np.sign(W))
