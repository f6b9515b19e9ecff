"""Ways to convolve: each fits where it says, and pieces make up the whole."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.ops import plain
from minibp.ops.cpu.conv import Columns, Pointwise, Polyphase, Subsampled, Winograd
from minibp.ops.cpu.threads import Team
from minibp.ops.cpu.workspace import Workspace

PADDING = (1, 0, 2, 1)


def test_where_each_way_fits():
    assert Winograd.fits((5, 5, 3, 4), 1, PADDING, dX=False)
    assert not Winograd.fits((5, 5, 1, 4), 1, PADDING, dX=False)  # columns are faster
    assert not Winograd.fits((3, 3, 3, 4), 1, PADDING, dX=False)
    assert Winograd.fits((3, 3, 4, 4), 1, PADDING, dX=False)
    assert Winograd.fits((5, 5, 1, 4), 1, PADDING, dX=True)
    assert not Winograd.fits((5, 5, 3, 4), 2, PADDING, dX=False)
    assert Subsampled.fits((3, 3, 4, 4), 2, PADDING, dX=True)
    assert not Subsampled.fits((3, 3, 4, 4), 3, PADDING, dX=True)
    assert Polyphase.fits((9, 9, 3, 4), 2, PADDING, dX=False)
    assert not Polyphase.fits((9, 9, 3, 4), 2, PADDING, dX=True)
    assert Pointwise.fits((1, 1, 3, 4), 2, (0, 0, 0, 0), dX=True)
    assert not Pointwise.fits((1, 1, 3, 4), 2, PADDING, dX=True)
    assert Columns.fits((2, 3, 1, 1), 3, PADDING, dX=True)


@pytest.mark.parametrize(
    ("way", "side", "stride", "padding"),
    [
        (Winograd, 5, 1, PADDING),
        (Winograd, 3, 1, PADDING),
        (Subsampled, 3, 2, PADDING),
        (Polyphase, 9, 2, PADDING),
        (Pointwise, 1, 1, (0, 0, 0, 0)),
        (Pointwise, 1, 2, (0, 0, 0, 0)),
        (Columns, 3, 2, PADDING),
    ],
)
@pytest.mark.parametrize("images", [1, 2, 5])
def test_pieces_of_any_size_make_up_the_batch(way, side, stride, padding, images, rng):
    X, W = rng.normal(size=(5, 13, 12, 2)), rng.normal(size=(side, side, 2, 3))
    made = way(Workspace(Team(1)), X.shape, W.shape, stride, padding, X.dtype)
    made.images = images
    made.set_filters(W)
    N, b = np.empty((5, made.OH, made.OW, 3)), np.arange(3.0)
    pieces = made.pieces(0, 5)
    assert [a for a, _ in pieces] == [0, *(e for _, e in pieces[:-1])]
    for a, e in pieces:
        made.outputs(0, X, a, e, b, N[a:e])
    np.testing.assert_allclose(N, plain.conv2d(X, W, b, stride, padding), atol=1e-11)
    dN, dW = rng.normal(size=N.shape), np.empty(W.shape)
    for a, e in pieces:
        made.gradients(0, X, a, e, dN[a:e], None, first=a == 0)
    made.filter_gradient(1, dW)
    expected = plain.conv2d_dW(X, dN, (side, side), stride, padding)
    np.testing.assert_allclose(dW, expected, atol=1e-10)
    if way is not Polyphase:  # which has no dX
        V, dX = rng.normal(size=W.shape), np.full(X.shape, np.nan)
        made.set_feedback(V)
        for a, e in pieces:
            made.gradients(0, None, a, e, dN[a:e], dX, first=a == 0)
        expected = plain.conv2d_dX(dN, V, X.shape, stride, padding)
        np.testing.assert_allclose(dX, expected, atol=1e-10)
