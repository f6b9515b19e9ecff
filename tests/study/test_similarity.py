"""Linear CKA by its definition."""

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.study.similarity import linear_cka, similarities


def by_definition(A, B):
    A, B = (X - X.mean(axis=0) for X in (A, B))
    norm = np.linalg.norm
    return norm(B.T @ A) ** 2 / (norm(A.T @ A) * norm(B.T @ B))


def test_it_is_the_definition(rng):
    A, B = rng.normal(size=(30, 7)), rng.normal(size=(30, 4)) + 3
    assert linear_cka(A, B) == pytest.approx(by_definition(A, B), rel=1e-12)
    assert 0 < linear_cka(A, B) < 0.9


def test_turns_scales_and_shifts_change_nothing(rng):
    A, B = rng.normal(size=(30, 7)), rng.normal(size=(30, 7))
    Q, _ = np.linalg.qr(rng.normal(size=(7, 7)))
    assert linear_cka(A, -5 * A @ Q + 2) == pytest.approx(1, rel=1e-12)
    assert linear_cka(A @ Q, B) == pytest.approx(linear_cka(A, B), rel=1e-12)
    stretched = A * np.arange(1, 8) ** 2  # this is no turn
    assert linear_cka(A, stretched) < 0.99


def test_features_of_images_and_the_table(rng):
    one = {"conv1": rng.normal(size=(20, 3, 3, 2)), "fc2": rng.normal(size=(20, 5))}
    other = {"fc1": rng.normal(size=(20, 4))}
    table = similarities(one, other)
    assert table.shape == (2, 1)
    expected = by_definition(one["conv1"].reshape(20, -1), other["fc1"])
    assert table[0, 0] == pytest.approx(expected, rel=1e-12)


def test_what_has_no_likeness(rng):
    A = rng.normal(size=(20, 3))
    assert np.isnan(linear_cka(A, np.ones((20, 2))))
    with pytest.raises(InputError, match="features of 20 and of 19 samples"):
        linear_cka(A, A[:19])
