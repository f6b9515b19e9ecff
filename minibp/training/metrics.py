"""What is measured of a network: its errors, and how its feedback compares with its weights."""

from typing import Any

import numpy as np

from minibp.device import Array, namespace
from minibp.losses import one_hot
from minibp.network import Network
from minibp.ops.norm import norm
from minibp.ops.sign import sign


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> list[list[int]]:
    """Return how often each class is taken for which: rows [true class, predicted class, count],
    of the pairs that occur.

    labels, predicted  (N,) integers in 0 … classes−1

    >>> confusion(np.array([0, 0, 2, 2]), np.array([0, 1, 2, 2]), classes=3)
    [[0, 0, 1], [0, 1, 1], [2, 2, 2]]
    """
    pairs = labels.astype(np.int64) * classes + predicted
    found, counts = np.unique(pairs, return_counts=True)
    return [
        [*divmod(pair, classes), count]
        for pair, count in zip(found.tolist(), counts.tolist(), strict=True)
    ]


def sign_concordance(V: Array, W: Array) -> Array:
    """Return the share of elements, 0 to 1, at which V and W have the same sign."""
    return (sign(V) == sign(W)).mean()


def angle(a: Array, b: Array) -> Array:
    """Return the angle between a and b as vectors, in degrees; NaN if one of them is zero.

    By the half-angle form, which gives exactly 0 for equal arrays, where an arc cosine would
    return rounding noise.
    """
    xp = namespace(a, b)
    a, b = a / norm(a), b / norm(b)
    return xp.arctan2(norm(a - b), norm(a + b)) * (360 / np.pi)


def diagnose(network: Network, X: Array, labels: Array) -> dict[str, dict[str, float | None]]:
    """Return, by weighted layer's path, how its feedback compares with its weights on one batch.

    sign_concordance  share of V's signs that are W's
    angle_V_W         degrees between V and W
    angle_dW          degrees between dW computed with V and with V = W everywhere, before Eq. 3
    norm_dX           norm of the error handed down, ∂E/∂X; None where `trace` has none
    zero_share        share of exactly zero elements of dW

    None stands for what is undefined or not finite. It takes one forward and two backwards;
    weights, V and BN's moments are left as they were.
    """
    xp = network.device.xp
    with np.errstate(all="ignore"):  # zero and exploding gradients have no angle: NaN, then None
        N = network.forward(X, train=True)
        _, dN = network.loss(N, labels)
        network.backward(dN, one_hot(labels, N) / len(labels))
        # Numbers and copies only: the second backward may use the arrays of the first again.
        sizes = {row.name: None if row.dX is None else norm(row.dX) for row in network.trace()}
        kept = {layer.path: (layer.V, layer.grads["W"].copy()) for layer in network.weighted}
        with network.backpropagating():
            network.backward(dN)
        rows: dict[str, dict[str, Any]] = {}
        for layer in network.weighted:
            V, dW = kept[layer.path]
            rows[layer.path] = {
                "sign_concordance": None if layer.V_shape else sign_concordance(V, layer.W),
                "angle_V_W": None if layer.V_shape else angle(V, layer.W),
                "angle_dW": angle(dW, layer.grads["W"]),
                "norm_dX": sizes[layer.path],
                "zero_share": (dW == 0).mean(),
            }
        measured = [(row, key) for row in rows.values() for key in row if row[key] is not None]
        values = xp.stack([row[key].astype(layer.W.dtype) for row, key in measured])
    for (row, key), value in zip(measured, network.device.to_host(values), strict=True):
        row[key] = float(value) if np.isfinite(value) else None
    return rows
