"""The feedback rules of Section 2: each maps W, and what it draws at random, to V.

A rule is one class. It knows neither layer kinds, devices nor optimizers; `Network` asks it for V
after each update of W. To add one, write a class like these in a file of your own and run
`python scripts/train.py --feedback my_rules.py:MyRule`.
"""

import inspect
import math
from collections.abc import Callable

from minibp import usercode
from minibp.device import Array
from minibp.errors import InputError, unknown
from minibp.ops.sign import sign
from minibp.ops.update import CONSTANT, FLIPPED, KEEP, MAGNITUDE, Formula
from minibp.rng import Draws

RULES: dict[str, type["FeedbackRule"]] = {}
REDRAW = ("once", "batch")


def rule(name: str) -> Callable[[type["FeedbackRule"]], type["FeedbackRule"]]:
    """Register the decorated FeedbackRule under a name, as `--feedback` and conditions use it."""

    def register(cls: type["FeedbackRule"]) -> type["FeedbackRule"]:
        cls.name = name
        RULES[name] = cls
        return cls

    return register


class FeedbackRule:
    """How V follows from W. Override `V`, and `draw` if the rule needs random arrays.

    A rule is pure: V depends on nothing but V's arguments, and changes none of them. On a CPU they
    cannot be written to; a GPU cannot protect its arrays.

    Raises InputError for a class attribute with a value that it cannot have.
    """

    name = ""
    takes_p = False  # whether the rule has a flip probability
    redraw = "once"  # "batch": draw anew after each update of W
    replayable = False  # True in a class itself: a GPU may do V's operations again as a graph

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        cls.replayable = vars(cls).get("replayable", False)  # said of one class, not of those below
        says = next(base for base in cls.__mro__ if "formula" in vars(base))
        if any(getattr(cls, name) is not getattr(says, name, None) for name in ("V", "draw")):
            # What is inherited says how another V is made.
            cls.formula = FeedbackRule.formula  # type: ignore[method-assign]
        check_attributes(cls)

    def __init__(self, p: float = 0.0, sigma: float = 0.05):
        self.p, self.sigma = p, sigma

    def draw(self, shape: tuple[int, ...], rng: Draws) -> dict[str, Array]:
        """Return the random arrays of one layer, by name, each of W's shape."""
        return {}

    def V(self, W: Array, **drawn: Array) -> Array:
        """Return the feedback weights, of W's shape and dtype."""
        raise InputError(f"rule {self.name or type(self).__name__} has no V: {EXPECTED_V}.")

    def formula(self, shape: tuple[int, ...], drawn: dict[str, Array]) -> Formula | None:
        """Return how the compiled tiers make V together with W, in one pass; None: by `V`, after.

        shape  W's
        drawn  what `draw` returned
        """
        return None


EXPECTED_V = "expected a method V(self, W, ...) that returns an array of W's shape"


def check_attributes(rule: "FeedbackRule | type[FeedbackRule]") -> None:
    """Raise InputError if an attribute of a rule, or of its class, cannot have its value."""
    cls = rule if isinstance(rule, type) else type(rule)
    choices = {"redraw": REDRAW, "takes_p": (True, False), "replayable": (True, False)}
    for name, allowed in choices.items():
        value = getattr(rule, name)
        if not any(type(value) is type(one) and value == one for one in allowed):
            words = " or ".join(map(repr, allowed))
            raise InputError(f"rule {cls.__name__}: {name} = {value!r}: expected {words}.")


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


def get_rule(name: str) -> type[FeedbackRule]:
    """Return the rule of a registered name, or the class of a user's file ("rules.py:MyRule").

    Raises InputError for an unknown name, a file that cannot be loaded, or no such rule in it.
    """
    if name in RULES:
        return RULES[name]
    place = usercode.split(name)
    if place is None:
        raise unknown("feedback rule", name, [*RULES, "file.py:Class"])
    path, cls = place
    found = getattr(usercode.load(path).module, cls, None)
    if not (isinstance(found, type) and issubclass(found, FeedbackRule)):
        raise InputError(f"{path} has no class {cls!r} derived from minibp.feedback.FeedbackRule.")
    if found.V is FeedbackRule.V:
        raise InputError(f"rule {name} has no V: {EXPECTED_V}.")
    if "name" not in vars(found):
        found.name = name
    return found


def new_rule(name: str, p: float = 0.0, sigma: float = 0.05) -> FeedbackRule:
    """Return a rule, ready to use; raise InputError if its class cannot be made with p and sigma.

    p      flip probability, for rules that take one
    sigma  standard deviation of RndF's V
    """
    cls = get_rule(name)
    try:
        inspect.signature(cls).bind(p=p, sigma=sigma)
    except TypeError as error:
        raise InputError(
            f"rule {name}: its __init__ takes {inspect.signature(cls)} ({error}): expected "
            "__init__(self, p=0.0, sigma=0.05), or none. Numbers of its own can be attributes of "
            "the class."
        ) from error
    with usercode.named(f"rule {name}"):
        return cls(p=p, sigma=sigma)
