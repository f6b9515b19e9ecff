"""What benchmark.py times: random batches for the networks; how much there is to do."""

from typing import Any

import numpy as np

from minibp.network import Network
from minibp.study.networks import input_shape

CLASSES = {"mnist": 10, "cifar": 10, "svhn": 10, "image119": 102, "timit": 80}
FIELD = {"lenet-cifar": (32, 32, 3), "resnet-20": (32, 32, 3)}  # other networks, and their inputs
CLASSES |= dict.fromkeys(FIELD, 10)


def shape_of(name: str) -> tuple[int, ...]:
    """Return the shape of a network's input."""
    return FIELD[name] if name in FIELD else input_shape(name)


def batch_of(name: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random inputs (B, …), float32, and labels."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((size, *shape_of(name)), np.float32)
    return X, rng.integers(0, CLASSES[name], size)


def step_flop(net: Network, X: Any) -> float:
    """Return the products and sums of a step's matrix products on X if done directly: dW as many as
    the forward, dX as many again but for the first layer."""
    with net.unfused():
        net.backward(0 * net.forward(X, train=True))
        outputs = {row.name: row.Y for row in net.trace()}
    flop = 0.0
    for layer in net.weighted:
        Y, passes = outputs[layer.path], 2 if layer is net.weighted[0] else 3
        flop += passes * 2 * (Y.size / layer.W.shape[-1]) * layer.W.size
    return flop
