"""What Eq. 3 and the refresh of V need of one parameter, for kernels that do both in one pass."""

from dataclasses import dataclass

from minibp.device import Array

# How V follows from W: not at all; c ∘ sign(W); M ∘ sign(W); M ∘ sign(W) ∘ S.
KEEP, CONSTANT, MAGNITUDE, FLIPPED = range(4)
FROZEN = -1  # instead of Eq. 3's setting: W stays


@dataclass(frozen=True)
class Feedback:
    """How V follows from W in one pass: kind, and by kind M, S, c.

    stream  (key, step) to draw M and S_p anew, or None
    """

    kind: int
    V: Array
    M: Array | None = None
    S: Array | None = None
    c: float = 0.0
    p: float = 0.0
    stream: tuple[Array, int] | None = None


@dataclass(frozen=True)
class Update:
    """One parameter w, its gradient and its memory, and, for a W, its feedback.

    Its learning rate is rate × multiplier.
    """

    setting: int
    g: Array
    w: Array
    memory: Array
    m: float = 0.0
    d: float = 0.0
    rate: float = 0.0
    multiplier: float = 1.0
    feedback: Feedback | None = None
