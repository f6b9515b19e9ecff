"""The feedback rules of Section 2: each maps W, and what it draws at random, to V.

A rule is one class. It knows neither layer kinds, devices nor optimizers; `Network` asks it for V
after each update of W. To add one, write a class like these in a file of your own and run
`python scripts/train.py --feedback my_rules.py:MyRule`.
"""

import importlib.util
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

from minibp.device import Array
from minibp.errors import InputError, unknown
from minibp.ops.sign import sign
from minibp.rng import Draws

RULES: dict[str, type["FeedbackRule"]] = {}


def rule(name: str) -> Callable[[type], type]:
    """Register the decorated FeedbackRule under a name, as `--feedback` and conditions use it."""

    def register(cls: type) -> type:
        cls.name = name
        RULES[name] = cls
        return cls

    return register


class FeedbackRule:
    """How V follows from W. Override `V`, and `draw` if the rule needs random arrays."""

    name = ""
    takes_p = False  # whether the rule has a flip probability
    redraw = "once"  # "batch": draw anew after each update of W
    replayable = False  # True in a class itself: V depends on nothing but V's arguments

    def __init__(self, p: float = 0.0, sigma: float = 0.05):
        self.p, self.sigma = p, sigma

    def draw(self, shape: tuple[int, ...], rng: Draws) -> dict[str, Array]:
        """Return the random arrays of one layer, by name, each of W's shape."""
        return {}

    def V(self, W: Array, **drawn: Array) -> Array:
        """Return the feedback weights, of W's shape and dtype."""
        raise NotImplementedError(f"rule {type(self).__name__} must define V(self, W, ...)")


@rule("BP")
class Symmetric(FeedbackRule):
    """V = W: backpropagation."""

    def V(self, W: Array) -> Array:
        return W


@rule("uSF")
class Uniform(FeedbackRule):
    """V = sign(W) (Sec. 2, item 1)."""

    def V(self, W: Array) -> Array:
        return sign(W)


@rule("NuSF")
class NormalizedUniform(FeedbackRule):
    """V = sign(W) / number of inputs of the filter (Sec. 5, Experiment A)."""

    def V(self, W: Array) -> Array:
        return sign(W) / math.prod(W.shape[:-1])


@rule("frSF")
class FixedRandomMagnitude(FeedbackRule):
    """V = M ∘ sign(W) ∘ S_p, M ~ U[0, 1) and S_p drawn once (Sec. 2, items 3 and 5)."""

    takes_p = True

    def draw(self, shape: tuple[int, ...], rng: Draws) -> dict[str, Array]:
        drawn = {"M": rng.uniform(shape)}
        return drawn | {"S": rng.signs(shape, self.p)} if self.p else drawn

    def V(self, W: Array, M: Array, S: Array | int = 1) -> Array:
        return M * sign(W) * S


@rule("brSF")
class BatchwiseRandomMagnitude(FixedRandomMagnitude):
    """The same, M and S_p redrawn after each update of W (Sec. 2, items 2 and 4)."""

    redraw = "batch"


@rule("RndF")
class FixedRandom(FeedbackRule):
    """V ~ N(0, σ²), σ = 0.05, drawn once (Sec. 2, item 6)."""

    def draw(self, shape: tuple[int, ...], rng: Draws) -> dict[str, Array]:
        return {"R": rng.normal(shape, self.sigma)}

    def V(self, W: Array, R: Array) -> Array:
        return R


def get_rule(name: str) -> type[FeedbackRule]:
    """Return the rule of a registered name, or the class of a user's file ("rules.py:MyRule").

    Raises InputError for an unknown name, a file that cannot be loaded, or no such rule in it.
    """
    if name in RULES:
        return RULES[name]
    path, colon, cls = name.rpartition(":")
    if not (colon and path.endswith(".py")):
        raise unknown("feedback rule", name, [*RULES, "file.py:Class"])
    found = getattr(_load(Path(path).resolve()), cls, None)
    if not (isinstance(found, type) and issubclass(found, FeedbackRule)):
        raise InputError(f"{path} has no class {cls!r} derived from minibp.feedback.FeedbackRule.")
    return found


@cache
def _load(path: Path):
    if not path.is_file():
        raise InputError(f"no file {str(path)!r} to take the feedback rule from.")
    spec = importlib.util.spec_from_file_location(f"minibp_user_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module
