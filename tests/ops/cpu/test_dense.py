"""Fully connected → BN → ReLU in one go, against the layers one by one."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.layers import BatchNorm, Linear, ReLU, Sequential
from minibp.ops.cpu.compiled import CompiledOps
from minibp.ops.cpu.threads import Team
from minibp.ops.cpu.workspace import Workspace


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bn", [False, True])
def test_it_is_its_layers(threads, relu, bn, rng):
    X, W, V = (rng.normal(size=shape) for shape in ((6, 5), (5, 7), (5, 7)))
    b = rng.normal(size=7)
    scale, shift = rng.normal(size=(2, 7))
    norm = BatchNorm(7, scale=scale, shift=shift, eps=0.1)
    layers = [Linear(W, b), *([norm] if bn else []), *([ReLU()] if relu else [])]
    layers[0].V = V
    chain = Sequential(layers)
    Y = chain.forward(X, train=True)
    dY = rng.normal(size=Y.shape)
    dX = chain.backward(dY)

    block = CompiledOps(Workspace(Team(threads))).kept().dense_block(relu)
    affine = (scale, shift) if bn else (None, None)
    found, mean, std = block.forward(X, W, b, *affine, 0.1, None)
    np.testing.assert_allclose(found, Y, atol=1e-12)
    back = block.backward(X, dY, W.shape, V, affine[0], mean, std)
    np.testing.assert_allclose(back[0], dX, atol=1e-12)
    np.testing.assert_allclose(back[1], layers[0].grads["W"], atol=1e-12)
    if bn:
        np.testing.assert_allclose(back[3], norm.grads["scale"], atol=1e-12)
        np.testing.assert_allclose(back[4], norm.grads["shift"], atol=1e-12)
    else:
        np.testing.assert_allclose(back[2], layers[0].grads["b"], atol=1e-12)
