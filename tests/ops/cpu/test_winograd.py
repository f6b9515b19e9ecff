"""Winograd's convolution: it is one, and its filter gradient leaves what is 0 at 0."""

import numpy as np
import pytest

from minibp.ops import plain

pytest.importorskip("numba")
from minibp.ops.cpu import winograd
from minibp.ops.cpu.compiled import CompiledOps
from minibp.ops.cpu.threads import Team
from minibp.ops.cpu.workspace import Workspace

WINDOWS = ((3, 1), (5, 1), (7, 1), (9, 2))  # side, stride: tiles of 4×4 and 2×2, and phases
windows = pytest.mark.parametrize(("side", "stride"), WINDOWS)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def gradients(X, dN, side, stride):
    """Return dW by the plain tier and by the compiled one."""
    where = ((side, side), stride, (1, 2, 2, 1))
    return [ops.conv2d_dW(X, dN, *where) for ops in (plain, CompiledOps(Workspace(Team(2))))]


def sparse(rng, shape, share, dtype):
    """Return an array of which only a share is on, with sizes over three powers of ten."""
    values = rng.normal(size=shape) * 10 ** rng.uniform(-3, 0, shape)
    return (values * (rng.random(shape) < share)).astype(dtype)


def images(rng, side, stride, share, dtype):
    """Return X (5, 16, 15, 4) and the dN (5, OH, OW, 6) of its convolution, sparse."""
    X = sparse(rng, (5, 16, 15, 4), share, dtype)
    shape = (5, (19 - side) // stride + 1, (18 - side) // stride + 1, 6)
    return X, sparse(rng, shape, share, dtype)


@pytest.mark.parametrize("r", winograd.TILES)
def test_one_tile_is_a_convolution(r, rng):
    """N = Aᵀ (Ŵ ∘ U) A of one channel is the sum over the window, in double precision."""
    x, W = rng.normal(size=(1, 8, 8, 1)), rng.normal(size=(r, r, 1, 1))
    ops = CompiledOps(Workspace(Team(1)))
    N = ops.conv2d(x, W, None, 1, (0, 0, 0, 0))[0, :, :, 0]
    m = 9 - r
    expected = [
        [(x[0, i : i + r, j : j + r, 0] * W[:, :, 0, 0]).sum() for j in range(m)] for i in range(m)
    ]
    np.testing.assert_allclose(N, expected, rtol=1e-11, atol=1e-12)


@windows
@dtypes
@pytest.mark.parametrize("share", [0.03, 0.01, 0.003])
def test_where_no_input_meets_an_error_the_gradient_is_0(side, stride, dtype, share):
    X, dN = images(np.random.default_rng(0), side, stride, share, dtype)
    direct, compiled = gradients(X, dN, side, stride)
    assert (direct == 0).mean() > 0.1
    np.testing.assert_array_equal(compiled[direct == 0], 0)


@windows
@dtypes
@pytest.mark.parametrize("share", [1, 0.05])
def test_what_is_more_than_rounding_keeps_its_bits(side, stride, dtype, share, monkeypatch):
    X, dN = images(np.random.default_rng(1), side, stride, share, dtype)
    direct, compiled = gradients(X, dN, side, stride)
    monkeypatch.setattr(winograd, "LIMIT", 0)
    _, whole = gradients(X, dN, side, stride)
    typical = abs(direct).max(axis=(0, 1), keepdims=True)
    more = abs(direct) > 1e3 * np.finfo(dtype).eps * typical
    assert more.sum() > 100
    np.testing.assert_array_equal(compiled[more], whole[more])
    np.testing.assert_array_equal(np.sign(compiled[more]), np.sign(direct[more]))


@windows
@dtypes
@pytest.mark.parametrize(("size", "seen"), [(1e3, True), (1e-3, False)])
def test_a_small_gradient_beside_a_large_one(side, stride, dtype, size, seen):
    """Two pixels meet one error: what the second adds is seen if it is more than rounding."""
    X, dN = (0 * array for array in images(np.random.default_rng(0), side, stride, 1, dtype))
    second = (5, 3) if side == 3 else (6, 6)
    X[0, 4, 4, 1], X[(0, *second, 1)] = 1, size * np.finfo(dtype).eps
    dN[0, 4 // stride, 4 // stride, 2] = 1
    direct, compiled = gradients(X, dN, side, stride)
    assert (direct != 0).sum() == 2
    assert (compiled != 0).sum() == 1 + seen
    np.testing.assert_allclose(compiled, direct, rtol=0.1, atol=np.finfo(dtype).eps)


@windows
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_no_rounding(side, stride, value):
    X, dN = images(np.random.default_rng(2), side, stride, 1, "float64")
    X[2, 8, 8, 1] = value
    with np.errstate(invalid="ignore"):
        direct, compiled = gradients(X, dN, side, stride)
    lost = ~np.isfinite(direct)
    assert lost[:, :, 1].any()
    assert not np.isfinite(compiled[lost]).any()
    assert np.isfinite(compiled[:, :, [0, 2, 3]]).all()
