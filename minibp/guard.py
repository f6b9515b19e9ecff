"""What stands between a rule and the network: a rule reads W and what was drawn, and returns V.

A rule has to be pure: V depends on nothing but V's arguments, and changes none of them. Otherwise
a resumed run would differ from an uninterrupted one. So on a CPU a rule is given arrays that
cannot be written to, and at the start it is asked twice. On a GPU arrays cannot be protected:
there only the start is checked.
"""

import inspect

import numpy as np

from minibp.device import Array, is_array, namespace
from minibp.errors import InputError
from minibp.feedback import FeedbackRule, Synapses
from minibp.ops.sign import sign
from minibp.ops.update import CONSTANT, FLIPPED, KEEP, Formula
from minibp.rng import Draws, Stream
from minibp.usercode import named

ROUNDING = 1e-6  # of a V by formula, relative


def draw(rule: FeedbackRule, layer: str, shape: tuple[int, ...], rng: Draws) -> dict[str, Array]:
    """Return what a rule draws for a layer; raise InputError unless it is a dict of arrays."""
    what = _what(rule, layer)
    with named(what):
        drawn = rule.draw(shape, rng)
    if not isinstance(drawn, dict):
        raise InputError(
            f"{what}: draw returned {_kind(drawn)}, expected a dict of arrays by name, such as "
            '{"R": rng.normal(shape)}.'
        )
    for name, array in drawn.items():
        if not is_array(array):
            raise InputError(
                f"{what}: draw returned {_kind(array)} for {name!r}, expected an array, as "
                "rng.normal(shape) returns."
            )
    try:
        inspect.signature(rule.V).bind(None, **drawn)
    except TypeError as error:
        raise InputError(
            f"{what}: draw returned {', '.join(map(str, drawn)) or 'nothing'}, but V takes "
            f"{inspect.signature(rule.V)} ({error}): V's arguments are W and what draw returns, by "
            "the same names."
        ) from error
    return drawn


def make_V(
    rule: FeedbackRule,
    layer: str,
    W: Array,
    drawn: dict[str, Array],
    shape: tuple[int, ...] | None = None,
) -> Array:
    """Return what a rule makes of W and what was drawn; raise InputError unless it is an array of
    W's device and dtype, and of a shape, W's own if there is none given."""
    what = _what(rule, layer)
    given = {"W": W, **drawn}
    seen = {name: read_only(array) for name, array in given.items()}
    with named(what):
        V = rule.V(**seen)
    for name in given:  # V = W is W itself, not a view of it
        V = given[name] if V is seen[name] else V
    _check_V(what, "V", V, W, shape or W.shape)
    return V


def after(rule: FeedbackRule, layer: str, here: Synapses) -> Array:
    """Return what a V that learns becomes; raise InputError unless it is an array of V's shape and
    dtype, and of finite numbers where W's are finite, and the rule's own state is of arrays that
    keep their shape and dtype."""
    what, V, W, state = _what(rule, layer), here._values.V, here._values.W, here._values.state
    before = {name: (array.shape, array.dtype) for name, array in state.items()}
    assert rule.after is not None
    with named(what):
        new = rule.after(here)
    _check_V(what, "after", new, W, V.shape)
    _check_state(what, before, state)
    # On a CPU, where reading a number is free. A run that diverges has no finite W either.
    if isinstance(new, np.ndarray) and not np.isfinite(new.sum()):
        bad = int((~np.isfinite(new)).sum())
        if bad and np.isfinite(W.sum()) and np.isfinite(here._values.dW.sum()):
            raise InputError(
                f"{what}: after update {here._values.step}, {bad} of {new.size} elements of V are "
                "NaN or infinite, while W is finite: choose a smaller rate for V."
            )
    return new


def _check_state(what: str, before: dict[str, tuple], state: dict[str, Array]) -> None:
    for name, array in state.items():
        if not is_array(array):
            raise InputError(
                f"{what}: here.state[{name!r}] is {_kind(array)}, expected an array: it is kept in "
                "checkpoints."
            )
        had = before.get(name, (array.shape, array.dtype))
        if (array.shape, array.dtype) != had:
            raise InputError(
                f"{what}: here.state[{name!r}] has shape {array.shape} and dtype {array.dtype}, "
                f"expected what it had before: {had[0]} and {had[1]}."
            )


def energy(rule: FeedbackRule, layer: str, here: Synapses, V: Array) -> Array:
    """Return the energy that a rule states, at V; raise InputError unless it is one number."""
    what = _what(rule, layer)
    assert rule.energy is not None
    with named(what):
        E = rule.energy(here, V)
    if not is_array(E) or E.shape != ():
        given = f"an array of shape {E.shape}" if is_array(E) else _kind(E)
        raise InputError(
            f"{what}: energy returned {given}, expected one number, as (V * here.dW).sum() is."
        )
    return E


def _check_V(what: str, method: str, V: Array, W: Array, shape: tuple[int, ...]) -> None:
    whose = "W's: " if shape == W.shape else ""
    if not is_array(V):
        raise InputError(
            f"{what}: {method} returned {_kind(V)}, expected an array of "
            f"{'W' if whose else 'V'}'s shape."
        )
    namespace(W, V)
    if V.shape != shape or V.dtype != W.dtype:
        raise InputError(
            f"{what}: V has shape {V.shape} and dtype {V.dtype}, expected {whose}{shape} and "
            f"{W.dtype}."
        )


def check_start(
    rule: FeedbackRule,
    layer: str,
    W: Array,
    V: Array,
    stream: Stream,
    shape: tuple[int, ...] | None = None,
) -> None:
    """Raise InputError if the first V is not finite, or if a rule that is asked again, of the same
    weights and random numbers, gives another V or changes what it was given."""
    what, xp = _what(rule, layer), namespace(W)

    def count(mask: Array) -> int:
        return int(stream.device.to_host(mask.sum()))

    bad = count(~xp.isfinite(V))
    if bad:
        raise InputError(
            f"{what}: {bad} of {V.size} elements of the first V are NaN or infinite; expected "
            "finite numbers."
        )
    if type(rule).__module__.startswith("minibp.feedback."):
        return  # those are known to be pure
    kept, before = W.copy(), V.copy()
    again = draw(rule, layer, shape or W.shape, stream.at(0))
    other = make_V(rule, layer, W, again, shape)
    if count(kept != W):
        raise InputError(f"{what}: V writes to the W it is given: return a new array.")
    if count(other != before):
        raise InputError(
            f"{what}: asked twice, of the same W and random numbers, it gave two different V. "
            "A rule must depend on V's arguments alone, and change none of them: draw random "
            "arrays in draw(self, shape, rng), from rng."
        )
    _check_formula(rule, layer, W, V, again, stream)


def _check_formula(
    rule: FeedbackRule,
    layer: str,
    W: Array,
    V: Array,
    drawn: dict[str, Array],
    stream: Stream,
) -> None:
    """Raise InputError if a rule's formula is none, or makes another V than the rule does."""
    what = _what(rule, layer)
    formula = rule.formula(W.shape, drawn)
    if formula is None:
        return
    if not isinstance(formula, Formula):
        raise InputError(f"{what}: formula returned {_kind(formula)}, expected a Formula or None.")
    for name, array in (("M", formula.M), ("S", formula.S)):
        if array is not None and (array.shape != W.shape or array.dtype != W.dtype):
            raise InputError(
                f"{what}: its formula's {name} has shape {array.shape} and dtype {array.dtype}, "
                f"expected W's: {W.shape} and {W.dtype}."
            )
    made = _by(formula, W, V, stream.at(0) if formula.draws else None)
    if int(stream.device.to_host((abs(made - V) > ROUNDING * abs(V)).sum())):
        raise InputError(
            f"{what}: its formula gives another V than its methods draw and V. Expected the same, "
            "or no formula."
        )


def _by(formula: Formula, W: Array, V: Array, rng: Draws | None) -> Array:
    """Return the V of a formula, in array code, as a kernel that draws would with rng."""
    if formula.kind == KEEP:
        return V
    if formula.kind == CONSTANT:
        return formula.c * sign(W)
    V = (formula.M if rng is None else rng.uniform(W.shape)) * sign(W)
    if formula.kind == FLIPPED:
        V = V * (formula.S if rng is None else rng.signs(W.shape, formula.p))
    return V


def read_only(array: Array) -> Array:
    """Return a view that cannot be written to, where the device has such."""
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def _what(rule: FeedbackRule, layer: str) -> str:
    return f"rule {vars(type(rule)).get('name') or type(rule).__name__}, layer {layer!r}"


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
