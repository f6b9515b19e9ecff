"""Eq. 3 and V in one pass, against array code."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops.cpu.update import SMALL, arguments, part, update_and_refresh
from minibp.ops.sign import sign
from minibp.ops.update import FLIPPED, FROZEN, Feedback, Formula, Update
from minibp.optim import eq3


@pytest.mark.parametrize("setting", [0, 1, 2, 3])
def test_eq_3_and_then_V(setting, rng):
    g, w, memory, M = rng.normal(size=(4, 5, 7))
    S = np.where(rng.random((5, 7)) < 0.5, -1.0, 1.0)
    tau, kept = eq3(setting, g, w, memory, 0.9, 0.01)
    expected = w + 0.1 * 2.0 * tau
    V = np.empty_like(w)
    feedback = Feedback(Formula(FLIPPED, M=M, S=S), V)
    job = arguments(Update(setting, g, w, memory, 0.9, 0.01, 0.1, 2.0, feedback))
    update_and_refresh(*job, 0, w.size)
    np.testing.assert_allclose(w, expected, rtol=1e-14)
    np.testing.assert_allclose(memory, kept, rtol=1e-14)
    np.testing.assert_array_equal(V, M * sign(w) * S)


def test_a_frozen_W_stays(rng):
    w = rng.normal(size=(4, 6))
    kept, V = w.copy(), np.empty_like(w)
    formula = Formula(FLIPPED, M=np.ones_like(w), S=-np.ones_like(w))
    job = arguments(Update(FROZEN, w, w, w, feedback=Feedback(formula, V)))
    update_and_refresh(*job, 0, w.size)
    np.testing.assert_array_equal(w, kept)
    np.testing.assert_array_equal(V, -sign(w))


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", [1, SMALL - 1, SMALL, SMALL + 5, 100_003])
def test_shares_make_up_the_whole_in_blocks_of_eight(threads, size):
    shares = [part(size, worker, threads) for worker in range(threads)]
    covered = [i for a, e in shares for i in range(a, e)]
    assert covered == list(range(size))
    assert all(a % 8 == 0 for a, e in shares if a < e)
