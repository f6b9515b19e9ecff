"""sign(·), as Eq. 3 and the sign-concordant feedbacks use it."""

from minibp.device import Array, namespace


def sign(x: Array) -> Array:
    """Return −1, 0 or 1 for each element; sign(0) = 0.

    The paper says "−1 or 1", but a dead unit's gradient is exactly 0, and ±1 would make it drift.
    """
    return namespace(x).sign(x)
