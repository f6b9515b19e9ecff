"""The rules of Section 2 of Liao, Leibo & Poggio (2016): each maps W, and what it draws, to V."""

import math

from minibp.device import Array
from minibp.feedback.base import FeedbackRule, rule
from minibp.ops.sign import sign
from minibp.ops.update import CONSTANT, FLIPPED, KEEP, MAGNITUDE, Formula
from minibp.rng import Draws


@rule("BP")
class Symmetric(FeedbackRule):
    """V = W: backpropagation."""

    replayable = True

    def V(self, W: Array) -> Array:
        return W


@rule("uSF")
class Uniform(FeedbackRule):
    """V = sign(W) (Sec. 2, item 1)."""

    replayable = True

    def V(self, W: Array) -> Array:
        return sign(W)

    def formula(self, shape: tuple[int, ...], drawn: dict[str, Array]) -> Formula:
        return Formula(CONSTANT, c=1.0)


@rule("NuSF")
class NormalizedUniform(FeedbackRule):
    """V = sign(W) / number of inputs of the filter (Sec. 5, Experiment A)."""

    replayable = True

    def V(self, W: Array) -> Array:
        return sign(W) / math.prod(W.shape[:-1])

    def formula(self, shape: tuple[int, ...], drawn: dict[str, Array]) -> Formula:
        return Formula(CONSTANT, c=1 / math.prod(shape[:-1]))


@rule("frSF")
class FixedRandomMagnitude(FeedbackRule):
    """V = M ∘ sign(W) ∘ S_p, M ~ U[0, 1) and S_p drawn once (Sec. 2, items 3 and 5)."""

    takes_p = replayable = True

    def draw(self, shape: tuple[int, ...], rng: Draws) -> dict[str, Array]:
        drawn = {"M": rng.uniform(shape)}
        return drawn | {"S": rng.signs(shape, self.p)} if self.p else drawn

    def V(self, W: Array, M: Array, S: Array | int = 1) -> Array:
        return M * sign(W) * S

    def formula(self, shape: tuple[int, ...], drawn: dict[str, Array]) -> Formula:
        M, S = drawn["M"], drawn.get("S")
        kind = MAGNITUDE if S is None else FLIPPED
        return Formula(kind, M=M, S=S, p=self.p, draws=self.redraw == "batch")


@rule("brSF")
class BatchwiseRandomMagnitude(FixedRandomMagnitude):
    """The same, M and S_p redrawn after each update of W (Sec. 2, items 2 and 4)."""

    redraw, replayable = "batch", True


@rule("RndF")
class FixedRandom(FeedbackRule):
    """V ~ N(0, σ²), σ = 0.05, drawn once (Sec. 2, item 6)."""

    replayable = True

    def draw(self, shape: tuple[int, ...], rng: Draws) -> dict[str, Array]:
        return {"R": rng.normal(shape, self.sigma)}

    def V(self, W: Array, R: Array) -> Array:
        return R

    def formula(self, shape: tuple[int, ...], drawn: dict[str, Array]) -> Formula:
        return Formula(KEEP)
