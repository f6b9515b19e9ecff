"""A feedback rule: how V is made, how it follows, and which error it sends.

A rule is one class. It knows neither layer kinds, devices nor optimizers; `Network` asks it for V
after each update of W. To add one, write a class like those of this folder in a file of your own
and run `python scripts/train.py --feedback my_rules.py:MyRule`.
"""

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

from minibp import usercode
from minibp.device import Array
from minibp.errors import InputError, unknown
from minibp.feedback.synapses import Synapses
from minibp.ops.update import Formula
from minibp.rng import Draws

RULES: dict[str, type["FeedbackRule"]] = {}
REDRAW = ("once", "batch")
ERRORS = ("own", "output", "sign", "targets")


def rule(name: str) -> Callable[[type["FeedbackRule"]], type["FeedbackRule"]]:
    """Register the decorated FeedbackRule under a name, as `--feedback` and conditions use it."""

    def register(cls: type["FeedbackRule"]) -> type["FeedbackRule"]:
        cls.name = name
        RULES[name] = cls
        return cls

    return register


def check_share(rule: "FeedbackRule", name: str = "share") -> None:
    """Raise InputError unless a parameter is a number from 0 to 1."""
    value = getattr(rule, name)
    if not 0 <= value <= 1:
        raise InputError(f"rule {rule.name}: {name}={value}: expected a number from 0 to 1.")


class FeedbackRule:
    """How V follows from W. Override `V`, and `draw` if the rule needs random arrays.

    A rule is pure: V depends on nothing but V's arguments, and changes none of them. On a CPU they
    cannot be written to; a GPU cannot protect its arrays.

    A V that learns is a state: it begins as `V` says, and follows `after` after each update of W.
    `after` has to be pure in the same way: it returns V from what it is given, `here`. It may state
    the local `energy(here, V)` (Kunin et al., 2020) on which its step goes down: with W − g in Eq.
    3's place, after(here) = V − ∂energy/∂V. Gradient checks then compare the two.

    `error` is what Eq. 2 sends through V: a layer's "own" dN, or from afar, to every layer alike,
    the "output"'s dN, its "sign", or the "targets". V then has the shape (inputs of the layer,
    outputs of the network), which `draw` is given.

    Raises InputError for a class attribute with a value that it cannot have.
    """

    name = ""
    takes_p = False  # whether the rule has a flip probability
    redraw = "once"  # "batch": draw anew after each update of W
    replayable = False  # True in a class itself: a GPU may do V's operations again as a graph
    error = "own"
    parameters: tuple[str, ...] = ()  # attributes that a name can set: "WM(share=0.05)"
    after: Callable[[Any, Synapses], Array] | None = None  # after(self, here): the next V
    energy: Callable[[Any, Synapses, Array], Array] | None = None  # energy(self, here, V): a number

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        cls.replayable = vars(cls).get("replayable", False)  # said of one class, not of those below
        says = next(base for base in cls.__mro__ if "formula" in vars(base))
        if any(
            getattr(cls, name) is not getattr(says, name, None) for name in ("V", "draw", "after")
        ):
            # What is inherited says how another V is made.
            cls.formula = FeedbackRule.formula  # type: ignore[method-assign]
        check_attributes(cls)

    def __init__(self, p: float = 0.0, sigma: float = 0.05):
        self.p, self.sigma = p, sigma

    def check(self) -> None:
        """Raise InputError for a parameter that the rule cannot have."""

    def draw(self, shape: tuple[int, ...], rng: Draws) -> dict[str, Array]:
        """Return the random arrays of one layer, by name, each of V's shape."""
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
    choices: dict[str, tuple] = {"redraw": REDRAW, "error": ERRORS}
    choices |= dict.fromkeys(("takes_p", "replayable"), (True, False))
    for name, allowed in choices.items():
        value = getattr(rule, name)
        if not any(type(value) is type(one) and value == one for one in allowed):
            words = " or ".join(map(repr, allowed))
            raise InputError(f"rule {cls.__name__}: {name} = {value!r}: expected {words}.")
    if cls.after is not None and cls.redraw == "batch":
        raise InputError(
            f"rule {cls.__name__}: a V that learns is not drawn anew: leave out redraw = 'batch'."
        )


def get_rule(name: str) -> type[FeedbackRule]:
    """Return the rule of a registered name, or the class of a user's file ("rules.py:MyRule").

    Raises InputError for an unknown name, a file that cannot be loaded, or no such rule in it.
    """
    name, given = split_name(name)
    found = _get_rule(name)
    for parameter in given:
        if parameter not in found.parameters:
            known = ", ".join(found.parameters) or "none"
            raise InputError(f"rule {name!r} has no parameter {parameter!r}: it has {known}.")
    return found


def split_name(name: str) -> tuple[str, dict[str, float]]:
    """Return a rule's name without its parameters, and these.

    Raises InputError for parameters that are no finite numbers.

    >>> split_name("WM(share=0.05)"), split_name("frSF")
    (('WM', {'share': 0.05}), ('frSF', {}))
    """
    match = re.fullmatch(r"(.+?)\(([^()]*=[^()]*)\)", name)
    if match is None:
        return name, {}
    given = {}
    for pair in match[2].split(","):
        key, _, text = pair.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(
                f"rule {name!r}: {pair!r}: expected NAME=NUMBER, as in WM(share=0.05)."
            )
        given[key.strip()] = int(value) if value == int(value) else value
    return match[1], given


def _get_rule(name: str) -> type[FeedbackRule]:
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
        made = cls(p=p, sigma=sigma)
        for parameter, value in split_name(name)[1].items():
            setattr(made, parameter, value)
        made.check()
    return made
