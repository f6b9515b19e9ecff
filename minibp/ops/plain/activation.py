"""The transfer function f of Eq. 1: the rectifier, and two smooth ones."""

from minibp.device import Array, namespace


def relu(N: Array) -> Array:
    """Return Y = f(N) = max(N, 0), of N's shape; NaN stays NaN."""
    return namespace(N).maximum(N, 0)


def relu_dN(N: Array, dY: Array) -> Array:
    """Return f′(N) ∘ dY, with f′(0) = 0."""
    return dY * (N > 0)


def sigmoid(N: Array) -> Array:
    """Return Y = 1 / (1 + exp(−N)), of N's shape; no exponent is positive, so none overflows."""
    xp = namespace(N)
    return xp.exp(xp.minimum(N, 0)) / (1 + xp.exp(-abs(N)))


def sigmoid_dN(Y: Array, dY: Array) -> Array:
    """Return f′(N) ∘ dY, from Y = f(N): f′ = Y ∘ (1 − Y)."""
    return dY * Y * (1 - Y)


def tanh(N: Array) -> Array:
    """Return Y = tanh(N), of N's shape."""
    return namespace(N).tanh(N)


def tanh_dN(Y: Array, dY: Array) -> Array:
    """Return f′(N) ∘ dY, from Y = f(N): f′ = (1 − Y) ∘ (1 + Y)."""
    return dY * (1 - Y) * (1 + Y)
