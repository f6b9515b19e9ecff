"""The Euclidean norm, for gradient checks and diagnostics."""

from minibp.device import Array, namespace


def norm(x: Array) -> Array:
    """Return √Σx², without overflow for values whose square would overflow."""
    peak = abs(x).max()
    scale = peak + (peak == 0)
    return scale * namespace(x).sqrt(((x / scale) ** 2).sum())
