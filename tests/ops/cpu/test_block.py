"""Convolution → BN → ReLU → pooling in one go, against the layers one by one."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minibp.layers import AvgPool2D, BatchNorm, Conv2D, MaxPool2D, ReLU, Sequential
from minibp.ops.contract import Pooling
from minibp.ops.cpu.compiled import CompiledOps
from minibp.ops.cpu.threads import Team
from minibp.ops.cpu.workspace import Workspace


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("kind", ["max", "avg", None])
@pytest.mark.parametrize("bn", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_it_is_its_layers(threads, kind, bn, relu, biased, rng):
    X, W, V = (rng.normal(size=shape) for shape in ((5, 9, 8, 2), (3, 3, 2, 4), (3, 3, 2, 4)))
    scale, shift = rng.normal(size=(2, 4))
    b = rng.normal(size=4) if biased else None
    norm = BatchNorm(4, scale=scale, shift=shift, eps=0.1)
    layers = [Conv2D(W, b), *([norm] if bn else []), *([ReLU()] if relu else [])]
    pooling = None
    if kind is not None:
        layers.append({"max": MaxPool2D, "avg": AvgPool2D}[kind]((2, 2), 2))
        pooling = Pooling(kind, (2, 2), 2, (0, 0, 0, 0))
    layers[0].V = V
    chain = Sequential(layers)
    Y = chain.forward(X, train=True)
    dY = rng.normal(size=Y.shape)
    dX = chain.backward(dY)

    ops = CompiledOps(Workspace(Team(threads))).kept()
    block = ops.conv_block(1, (0, 0, 0, 0), relu, pooling)
    affine = (scale, shift) if bn else (None, None)
    found, mean, std = block.forward(X, W, b, *affine, 0.1, None)
    np.testing.assert_allclose(found, Y, atol=1e-12)
    back = block.backward(X, dY, W.shape, V, affine[0], mean, std)
    np.testing.assert_allclose(back[0], dX, atol=1e-12)
    np.testing.assert_allclose(back[1], layers[0].grads["W"], atol=1e-11)
    if biased:
        np.testing.assert_allclose(back[2], layers[0].grads["b"], atol=1e-11)
    if bn:
        np.testing.assert_allclose(back[3], norm.grads["scale"], atol=1e-12)
        np.testing.assert_allclose(back[4], norm.grads["shift"], atol=1e-12)
