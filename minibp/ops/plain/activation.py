"""The transfer function f of Eq. 1: the rectifier."""

from minibp.device import Array, namespace


def relu(N: Array) -> Array:
    """Return Y = f(N) = max(N, 0), of N's shape; NaN stays NaN."""
    return namespace(N).maximum(N, 0)


def relu_dN(N: Array, dY: Array) -> Array:
    """Return f′(N) ∘ dY, with f′(0) = 0."""
    return dY * (N > 0)
