"""What is measured: confusion of classes, and how two arrays compare."""

import numpy as np

from minibp.device import Array, namespace
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
