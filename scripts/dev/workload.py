"""What benchmark.py times: random batches for the networks of Table 1; how much there is to do."""

from typing import Any

import numpy as np

from minibp.layers.sequential import members
from minibp.network import Network
from minibp.study.networks import input_shape

CLASSES = {"mnist": 10, "cifar": 10, "svhn": 10, "image119": 102, "timit": 80}


def batch_of(name: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random inputs (B, …), float32, and labels."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((size, *input_shape(name)), np.float32)
    return X, rng.integers(0, CLASSES[name], size)


def step_flop(net: Network, X: Any) -> float:
    """Return the products and sums of a step's matrix products on X if done directly: dW as many as
    the forward, dX as many again but for the first layer."""
    flop, x = 0.0, X
    for unit in net.units:
        layer = members(unit)[0]
        y = unit.forward(x, train=True)
        if layer in net.weighted:
            positions = len(x)
            if layer.W.ndim == 4:
                kh, kw = layer.W.shape[:2]
                height, width = (
                    (x.shape[k] + layer.padding[2 * k - 2] + layer.padding[2 * k - 1] - size)
                    // layer.stride
                    + 1
                    for k, size in ((1, kh), (2, kw))
                )
                positions *= height * width
            passes = 2 if layer is net.weighted[0] else 3
            flop += passes * 2 * positions * layer.W.size
        x = y
    return flop
