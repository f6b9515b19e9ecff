"""What Eq. 3 and the refresh of V need of one parameter, for kernels that do both in one pass."""

from dataclasses import dataclass

from minibp.device import Array
from minibp.errors import InputError

# How V follows from W: not at all; c ∘ sign(W); M ∘ sign(W); M ∘ sign(W) ∘ S.
KEEP, CONSTANT, MAGNITUDE, FLIPPED = range(4)
FROZEN = -1  # instead of Eq. 3's setting: W stays


@dataclass(frozen=True)
class Formula:
    """How V follows from W, by kind: KEEP, CONSTANT, MAGNITUDE or FLIPPED.

    Raises InputError for another kind, and for one without the arrays it needs.

    c      of CONSTANT
    M, S   of MAGNITUDE and FLIPPED, of W's shape
    p      of FLIPPED, the probability of −1 in S
    draws  whether M ~ U[0, 1) and S_p are drawn anew after each update
    """

    kind: int
    c: float = 0.0
    M: Array | None = None
    S: Array | None = None
    p: float = 0.0
    draws: bool = False

    def __post_init__(self) -> None:
        given = {"kind": self.kind, "M": self.M is not None, "S": self.S is not None}
        whole = self.kind in (KEEP, CONSTANT) or given["M"]
        if self.kind not in range(4) or not whole or (self.kind == FLIPPED and not given["S"]):
            raise InputError(
                f"Formula({given}): expected kind KEEP, CONSTANT, MAGNITUDE with M, or FLIPPED "
                "with M and S."
            )


@dataclass(frozen=True)
class Feedback:
    """The array V, to be set by a formula.

    stream  (key, step) to draw M and S_p anew, or None
    """

    formula: Formula
    V: Array
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
