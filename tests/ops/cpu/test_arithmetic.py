"""Results: new ones, or those of the last step."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops.cpu.compiled import CompiledOps
from minibp.ops.cpu.threads import Team
from minibp.ops.cpu.workspace import Workspace


def test_only_kept_operations_use_an_array_again(rng):
    X, W = rng.normal(size=(4, 3)), rng.normal(size=(3, 2))
    ops = CompiledOps(Workspace(Team(1)))
    assert not np.shares_memory(ops.linear(X, W, None), ops.linear(X, W, None))
    kept = ops.kept()
    first = kept.linear(X, W, None)
    expected = first.copy()
    assert np.shares_memory(first, kept.linear(2 * X, W, None))
    np.testing.assert_allclose(first, 2 * expected)
    assert not np.shares_memory(first, ops.kept().linear(X, W, None))
