"""Eq. 3 and V in one pass are Eq. 3, and then V."""

import numpy as np
import pytest

from minibp import Condition, build_network, build_optimizer
from minibp.one_pass import update


@pytest.mark.parametrize(
    "head", ["SGD", "frSF+BN+BM", "brSF-25+BM2", "RndF Top", "KP", "RndF+Muon"]
)
def test_one_pass_is_both_steps_by_hand(head, device, rng):
    X = rng.normal(size=(4, 28, 28, 1)).astype("float32")
    found = []
    for by_hand in (False, True):
        net = build_network("mnist", 5, Condition.parse(head), device, 0)
        optimizer = build_optimizer(net, net.condition, rate=1e-2)
        for _ in range(2):
            N = net.forward(device.asarray(X), train=True)
            net.backward(net.loss(N, device.asarray(np.arange(4)))[1])
            if by_hand:
                optimizer.step()
                net.refresh_feedback(optimizer)
            else:
                update(net, optimizer)
        arrays = [*net.parameters().values(), *(layer.V for layer in net.weighted)]
        found.append([device.to_host(array).copy() for array in arrays])
        assert net.updates == 2
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
