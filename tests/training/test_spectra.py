"""Effective ranks, against singular values and known spectra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp.training.spectra import effective_rank, effective_rank_of_product

sizes = st.integers(1, 12)


def by_svd(A):
    values = np.linalg.svd(A, compute_uv=False)
    p = values[values > 1e-12 * values[0]] / values.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


@given(sizes, sizes, st.integers(0, 2**32 - 1))
def test_it_is_the_entropy_of_the_singular_values(n, m, seed):
    A = np.random.default_rng(seed).normal(size=(n, m))
    assert effective_rank(A) == pytest.approx(by_svd(A), rel=1e-6)
    assert effective_rank(1e-20 * A) == pytest.approx(effective_rank(A), rel=1e-6)
    assert 1 - 1e-9 <= effective_rank(A) <= min(n, m) + 1e-9


@given(sizes, sizes, sizes, st.integers(0, 2**32 - 1))
def test_that_of_a_product_needs_no_product(B, n, m, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(B, n)), rng.normal(size=(B, m))
    assert effective_rank_of_product(X, Y) == pytest.approx(by_svd(X.T @ Y), rel=1e-5)


def test_known_ranks(rng):
    assert effective_rank(np.outer([1.0, 2, 3], [4.0, 5])) == pytest.approx(1)
    Q, _ = np.linalg.qr(rng.normal(size=(9, 4)))
    assert effective_rank(Q.astype("float32")) == pytest.approx(4, rel=1e-6)
    # Two singular values, 3 to 1: p = 3/4 and 1/4.
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(np.diag([3.0, 1.0, 0.0])) == pytest.approx(expected)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_what_has_no_rank(bad):
    A = np.full((3, 20), bad)
    assert effective_rank(A) is None
    assert effective_rank_of_product(A, A) is None
