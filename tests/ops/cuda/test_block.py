"""A whole block by kernels, against the plain tier's layers."""

import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice

from minibp.layers import BatchNorm, Linear, ReLU, Sequential
from minibp.ops.tiers import ops_for

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


def test_fully_connected_with_bn(rng):
    device = CppDevice()
    X, W, V = (rng.normal(size=shape) for shape in ((6, 5), (5, 7), (5, 7)))
    scale, shift = rng.normal(size=(2, 7))
    layers = [Linear(W), BatchNorm(7, scale=scale, shift=shift, eps=0.1), ReLU()]
    layers[0].V = V
    chain = Sequential(layers)
    Y = chain.forward(X, train=True)
    dY = rng.normal(size=Y.shape)
    dX = chain.backward(dY)
    put, host = device.asarray, device.to_host
    block = ops_for(device).dense_block(relu=True)
    found, mean, std = block.forward(put(X), put(W), None, put(scale), put(shift), 0.1, None)
    np.testing.assert_allclose(host(found), Y, atol=1e-12)
    back = block.backward(put(X), put(dY), W.shape, put(V), put(scale), mean, std)
    np.testing.assert_allclose(host(back[0]), dX, atol=1e-12)
    np.testing.assert_allclose(host(back[1]), layers[0].grads["W"], atol=1e-12)
    np.testing.assert_allclose(host(back[3]), layers[1].grads["scale"], atol=1e-12)
