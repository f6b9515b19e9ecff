"""Batch Normalization of each feature: over the batch, and over all positions of a feature map."""

import math

from minibp.device import Array, namespace


def normalize(X: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return X̂ = (X − μ)/s, μ and s = √(σ² + ε), with the batch's own moments (Sec. 3).

    X (B, …, C); μ and s (C,); σ² is the biased variance.
    """
    mean = feature_sum(X) * (X.shape[-1] / X.size)
    centred = X - spread(mean, X)
    variance = feature_sum(centred * centred) * (X.shape[-1] / X.size)
    std = namespace(X).sqrt(variance + eps)
    return centred / spread(std, X), mean, std


def normalize_dX(dXhat: Array, Xhat: Array, std: Array) -> Array:
    """Return dX for X̂ = (X − μ)/s; μ and s depend on X, which gives the two mean terms."""
    share = dXhat.shape[-1] / dXhat.size
    mean, slope = feature_sum(dXhat) * share, feature_sum(dXhat * Xhat) * share
    return (dXhat - spread(mean, Xhat) - Xhat * spread(slope, Xhat)) / spread(std, Xhat)


def spread(x: Array, X: Array) -> Array:
    """Return x (C,) repeated at every position, in the shape of one sample of X (B, …, C).

    The same numbers as broadcasting x, but NumPy then loops over whole samples, not C at a time.
    """
    positions = math.prod(X.shape[1:-1])
    return namespace(x).tile(x, positions).reshape(X.shape[1:])


def feature_sum(X: Array) -> Array:
    """Return the sum (C,) of X (B, …, C) over all its axes but the last.

    As a product with ones, which BLAS adds up in blocks: faster than `X.sum`, and more accurate.
    """
    rows = X.reshape(-1, X.shape[-1])
    return namespace(X).ones(len(rows), dtype=X.dtype) @ rows
