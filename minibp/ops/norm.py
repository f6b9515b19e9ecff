"""Batch Normalization of each feature: over the batch, and over all positions of a feature map."""

from minibp.device import Array, namespace


def normalize(X: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return X̂ = (X − μ)/s, μ and s = √(σ² + ε), with the batch's own moments (Sec. 3).

    X (B, …, C); μ and s (C,); σ² is the biased variance.
    """
    axes = tuple(range(X.ndim - 1))
    mean = X.mean(axis=axes)
    centred = X - mean
    std = namespace(X).sqrt((centred * centred).mean(axis=axes) + eps)
    return centred / std, mean, std


def normalize_dX(dXhat: Array, Xhat: Array, std: Array) -> Array:
    """Return dX for X̂ = (X − μ)/s; μ and s depend on X, which gives the two mean terms."""
    axes = tuple(range(dXhat.ndim - 1))
    return (dXhat - dXhat.mean(axis=axes) - Xhat * (dXhat * Xhat).mean(axis=axes)) / std
