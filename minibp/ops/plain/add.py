"""The sum of two branches, as a skip connection has it."""

from minibp.device import Array, namespace


def add(A: Array, B: Array) -> Array:
    """Return A + B, of one shape, in a new array."""
    namespace(A, B)
    return A + B
