"""Rules with W's signs, scaled otherwise, or transported late, noisily or little by little."""

import math

from minibp.checks import is_whole
from minibp.device import Array
from minibp.errors import InputError
from minibp.feedback.base import FeedbackRule, check_share, rule
from minibp.feedback.paper import FixedRandom, FixedRandomMagnitude
from minibp.feedback.synapses import Synapses
from minibp.ops.norm import norm
from minibp.ops.sign import sign
from minibp.ops.update import CONSTANT, Formula


@rule("SS")
class ScaledSigns(FeedbackRule):
    """V = c sign(W), c = √(2 / (inputs + outputs)) of the layer's filters.

    Xiao et al. (2019), "sign-symmetry".
    """

    replayable = True

    def V(self, W: Array) -> Array:
        return self._scale(W.shape) * sign(W)

    def formula(self, shape: tuple[int, ...], drawn: dict[str, Array]) -> Formula:
        return Formula(CONSTANT, c=self._scale(shape))

    @staticmethod
    def _scale(shape: tuple[int, ...]) -> float:
        return math.sqrt(2 / (math.prod(shape[:-1]) + math.prod(shape[:-2]) * shape[-1]))


@rule("uSF-SN")
class NormalizedSigns(FeedbackRule):
    """V = sign(W) ‖W‖ / ‖sign(W)‖. Moskovitz, Litwin-Kumar & Abbott (2018)."""

    replayable = True

    def V(self, W: Array) -> Array:
        S = sign(W)
        size = norm(S)
        return S * (norm(W) / (size + (size == 0)))


@rule("RndF-SN")
class NormalizedRandom(FixedRandom):
    """V = R ‖W‖ / ‖R‖, R drawn once. Moskovitz, Litwin-Kumar & Abbott (2018)."""

    replayable = True

    def V(self, W: Array, R: Array) -> Array:
        return R * (norm(W) / norm(R))


@rule("lateSF")
class LateSigns(FixedRandomMagnitude):
    """V = M ∘ sign(W), the signs those of the last 100th update."""

    takes_p = False
    every = 100
    parameters = ("every",)

    def check(self) -> None:
        if not is_whole(self.every) or self.every < 1:
            raise InputError(f"rule lateSF: every={self.every}: expected a whole number over 0.")

    def after(self, here: Synapses) -> Array:
        return here.V if here.step % self.every else self.V(here.W, **here.drawn)


@rule("noisySF")
class NoisySigns(FixedRandomMagnitude):
    """V = M ∘ sign(W) ∘ S_p, M drawn once and S_p anew after each update: each sign is wrong with
    probability p."""

    replayable = True

    def draw(self, shape, rng):
        return {"M": rng.uniform(shape)}

    def after(self, here: Synapses) -> Array:
        return self.V(here.W, **here.drawn) * here.rng.signs(here.W.shape, self.p)


@rule("trickleSF")
class TricklingSigns(FixedRandomMagnitude):
    """V = M ∘ sign(W), where after each update each sign gets through with probability 0.01."""

    replayable = True

    takes_p = False
    share = 0.01
    parameters = ("share",)

    def check(self) -> None:
        check_share(self)

    def after(self, here: Synapses) -> Array:
        got = here.rng.signs(here.W.shape, self.share) < 0
        return here.V + got * (self.V(here.W, **here.drawn) - here.V)
