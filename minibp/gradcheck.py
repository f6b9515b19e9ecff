"""Numerical gradient checks of layers and networks, with symmetric and asymmetric feedback.

`python -m minibp.selfcheck` checks every layer kind and every network of Table 1. What is compared:

- grads (dW, db, …) with central differences of the layer's, or the network's, own forward;
- dX with central differences of *the same operation with V in W's place*: Eq. 2 is the exact
  derivative of that, whether V is W or not; with an error e from afar, of Σ (X V) e;
- grads with themselves for another V: they must not change by a bit;
- the step of a V that learns, with W − g in Eq. 3's place, with central differences of the energy
  that its rule states;
- X and dY with themselves: a layer must not write to what it is given.

A network with V ≠ W has no loss of which its backward were the gradient. Its layers are checked one
by one, each on its real input and the real error that arrives (before a kink the input is jittered,
so that equal values are parted). The same holds for a layer that holds layers: those are checked
one by one, and then it is checked as a whole, for the time being with V = W inside and each
layer's own error.

Elements that are at a kink, a ReLU's exact 0 or a tie, have no derivative: they are left out, and
counted in the report.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from minibp import guard
from minibp.device import Array, Device, get_device, namespace
from minibp.differences import DTYPE, Probe, Row, size_of
from minibp.errors import InputError
from minibp.feedback import FeedbackRule, Synapses
from minibp.layers import Layer, WeightedLayer
from minibp.layers.tree import walk
from minibp.losses import one_hot
from minibp.network import Network
from minibp.ops.norm import norm
from minibp.rng import Streams


class GradientError(AssertionError):
    """A gradient differs from its numerical value by more than the tolerance."""


@dataclass
class Report:
    """What a gradient check found. Printing it gives a table with the verdict below."""

    tolerance: float
    rows: list[Row] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every comparison is within the tolerance."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    @property
    def worst(self) -> float:
        """The largest relative error."""
        return max((row.error for row in self.rows), key=size_of)

    def raise_if_failed(self) -> None:
        """Raise GradientError with the table, unless all is well."""
        if not self.ok:
            raise GradientError(f"\n{self}")

    def __str__(self) -> str:
        failed = sum(not row.ok for row in self.rows)
        verdict = f"{failed} of {len(self.rows)} comparisons FAILED" if failed else "all agree"
        lines = ["     layer      array        error  where it is largest", *map(str, self.rows)]
        return "\n".join([*lines, f"{verdict}: worst {self.worst:.1e}, allowed {self.tolerance:g}"])


def gradcheck(
    subject: Layer | Network,
    X: Array,
    labels: Array | None = None,
    *,
    tolerance: float | None = None,
    eps: float = 1e-5,
    directions: int = 3,
    seed: int = 0,
    device: Device | None = None,
) -> Report:
    """Compare the backward pass of a layer or a network with central differences.

    A fused network is checked as its layers are, one after the other.

    subject     in float64; parameters and V are as before in the end, caches and grads are not
    X           input (B, …), float64, B of 1 or more
    labels      (B,) integers, for a network
    tolerance   relative, more than 0; default 1e-8 for a layer, 1e-7 for a network
    eps         step, relative to the size of what is perturbed, more than 0
    directions  random directions for each array, 1 or more; small ones are also checked element by
                element
    device      where a layer's arrays are (default: the CPU); a network knows

    An error is relative to the derivative, or to what is typical of the array where that is larger
    (‖g‖ times the direction's root mean square). A difference that rounding alone explains passes.
    A direction in which a ReLU or a maximum switches sides is drawn again, with a smaller step.

    Raises InputError for arrays that are not float64, not finite or empty, for parameters that
    cannot be written to, for labels out of range, and for numbers that are not as said above.

    >>> import numpy as np
    >>> from minibp.layers import Linear
    >>> layer = Linear(np.array([[1.0, -2.0], [0.5, 3.0]]), name="fc")
    >>> layer.V = np.array([[0.1, 0.2], [-0.3, 0.4]])
    >>> report = gradcheck(layer, np.array([[1.0, 2.0], [-1.0, 0.5]]))
    >>> report.ok, [row.array for row in report.rows]
    (True, ['W', 'X', 'any V'])
    """
    network = isinstance(subject, Network)
    if network != (labels is not None):
        raise InputError(
            "the check of a network needs labels."
            if network
            else f"labels are for a network, not for a layer ({subject.name!r})."
        )
    device = subject.device if network else device or get_device("cpu")
    _check_numbers(tolerance, eps, directions)
    layers = dict(subject.walk() if network else walk([subject]))
    _check_arrays(device, layers, X)
    X = X.copy()  # which is perturbed
    tolerance = tolerance or (1e-7 if network else 1e-8)
    probe = Probe(device, tolerance, eps, directions, Streams(seed, device, DTYPE))
    if network:
        with subject.unfused():
            return Report(tolerance, _check_network(probe, subject, X, labels))
    # A random cotangent: under one of ones, errors that sum to zero would not show.
    R = probe.direction(f"{subject.name}/cotangent", subject.forward(X, train=True).shape)
    if not subject.children():
        return Report(tolerance, _check_layer(probe, subject.name, subject, X, R))
    with _watched(layers.values()) as passes:
        subject.forward(X, train=True)
        subject.backward(R)
    return Report(tolerance, _check_each(probe, layers, passes))


def _check_numbers(tolerance: float | None, eps: float, directions: int) -> None:
    """Raise InputError for numbers with which nothing would be compared."""
    for name, value in (("tolerance", 1.0 if tolerance is None else tolerance), ("eps", eps)):
        if not 0 < value < float("inf"):
            raise InputError(f"{name} {value!r}: expected a finite number of more than 0.")
    if not isinstance(directions, int) or directions < 1:
        raise InputError(f"directions {directions!r}: expected an integer of 1 or more.")


def _check_arrays(device: Device, layers: dict[str, Layer], X: Array) -> None:
    """Raise InputError for arrays of which no difference can be taken."""
    params = _params(layers)
    V = {f"{path}/V": la.V for path, la in layers.items() if isinstance(la, WeightedLayer)}
    for name, array in ({"X": X} | params | V).items():
        xp = namespace(array)
        if array.dtype != DTYPE:
            raise InputError(
                f"gradient checks need {DTYPE}, but {name} is {array.dtype}: build the network "
                f"with dtype={DTYPE!r} and convert X."
            )
        if array.size == 0:
            raise InputError(f"{name} has shape {array.shape}: expected one element or more.")
        bad = array.size - int(device.to_host(xp.isfinite(array).sum()))
        if bad:
            raise InputError(
                f"{bad} of {array.size} elements of {name} are NaN or infinite: expected finite "
                "numbers, at which derivatives can be taken."
            )
        if name in params and not getattr(array.flags, "writeable", True):
            raise InputError(f"{name} cannot be written to, but is perturbed: give a copy.")


def _params(layers: dict[str, Layer]) -> dict[str, Array]:
    """Return the parameters of layers by "path/name"."""
    return {f"{path}/{name}": w for path, la in layers.items() for name, w in la.params.items()}


def _kinks(layers: Iterable[Layer]) -> list[Array]:
    """Return the decisions of layers in the last training forward."""
    return [d.copy() for layer in layers if (d := layer.kinks()) is not None]


def _check_energies(probe: Probe, network: Network) -> list[Row]:
    """Check each V that learns, after a backward: its step by the energy that its rule states."""
    rule = network.rule
    if rule is None or rule.energy is None:
        return []
    return [
        _check_energy(probe, network, rule, layer)
        for layer in network.weighted
        if network.learns_V(layer)
    ]


def _check_energy(probe: Probe, network: Network, rule: FeedbackRule, layer: WeightedLayer) -> Row:
    V = layer.V.copy()

    def here() -> Synapses:
        # Anew for each call, so that the noise is the same, and what the rule keeps is forgotten.
        state = {name: array.copy() for name, array in network.state[layer.path].items()}
        return network.synapses(layer, lambda A, g, name: A - g, read=set(), state=state)

    def E() -> tuple[float, float]:
        value = probe.number(guard.energy(rule, layer.path, here(), V))
        return value, abs(value)

    step = V - guard.after(rule, layer.path, here())
    return probe.compare(layer.path, "V", E, list, V, step)


@dataclass
class _Pass:
    """What a layer was given in a forward and a backward."""

    X: Array
    dY: Array | None = None
    need_dX: bool = True


@contextlib.contextmanager
def _watched(layers: Iterable[Layer]) -> Iterator[dict[Layer, _Pass]]:
    """Note what each layer is given within the block, whoever calls it."""
    layers, passes = list(layers), {}

    def watch(layer: Layer) -> None:
        forward, backward = layer.forward, layer.backward

        def watched_forward(X: Array, *, train: bool) -> Array:
            passes[layer] = _Pass(X)
            return forward(X, train=train)

        def watched_backward(dY: Array, *, need_dX: bool = True) -> Array | None:
            passes[layer].dY, passes[layer].need_dX = dY, need_dX
            return backward(dY, need_dX=need_dX)

        layer.forward, layer.backward = watched_forward, watched_backward

    for layer in layers:
        watch(layer)
    try:
        yield passes
    finally:
        for layer in layers:
            del layer.forward, layer.backward


@contextlib.contextmanager
def _backpropagating(layers: list[Layer]) -> Iterator[None]:
    """Have V = W and each layer's own error within the block."""
    with contextlib.ExitStack() as stack:
        for layer in layers:
            if isinstance(layer, WeightedLayer):
                stack.enter_context(layer.backpropagating())
        yield


def _check_each(probe: Probe, layers: dict[str, Layer], passes: dict[Layer, _Pass]) -> list[Row]:
    """Check each layer that the backward reached on what it was given."""
    rows = []
    for path, layer in layers.items():
        through = passes.get(layer)
        if through is None or through.dY is None:
            continue
        X, inner = through.X, [found for _, found in walk([layer])]
        if _kinks(inner):  # a ReLU leaves many equal zeros: part them
            X = X + 0.01 * probe.rms(X) * probe.direction(f"{path}/jitter", X.shape)
        with _backpropagating(inner if layer.children() else []):
            rows += _check_layer(probe, path, layer, X, through.dY, through.need_dX)
    return rows


def _check_layer(
    probe: Probe, path: str, layer: Layer, X: Array, R: Array, need_dX: bool = True
) -> list[Row]:
    """Check grads and dX for the loss F = Σ Y ∘ R."""
    # A layer that writes to the arrays it is given would change what it is checked by.
    given, X, dY = X, X.copy(), R.copy()
    layer.forward(X, train=True)
    dX = layer.backward(dY).copy()  # arrays of a layer may be used again in its next pass
    written = [name for name, a, b in (("X", X, given), ("dY", dY, R)) if probe.differ(a, b)]
    X[...] = given
    inner = {"": layer} | dict(walk(layer.children()))
    places = [
        (f"{where}/{name}".lstrip("/"), la, name)
        for where, la in inner.items()
        for name in la.params
    ]
    grads = {place: la.grads[name].copy() for place, la, name in places}

    def F() -> tuple[float, float]:
        terms = layer.forward(X, train=True) * R
        return probe.number(terms.sum()), probe.number(norm(terms))

    def F_with_V() -> tuple[float, float]:
        if layer.far is None:
            with layer.with_W(layer.V):
                return F()
        terms = (X.reshape(len(X), -1) @ layer.V) * layer.far
        return probe.number(terms.sum()), probe.number(norm(terms))

    def kinks() -> list[Array]:
        return _kinks(inner.values())

    rows = [
        probe.compare(path, place, F, kinks, la.params[name], grads[place])
        for place, la, name in places
    ]
    weighted = isinstance(layer, WeightedLayer)
    if need_dX:
        rows.append(probe.compare(path, "X", F_with_V if weighted else F, kinks, X, dX))
    if weighted:
        rows.append(_check_any_V(probe, path, layer, X, R, grads))
    for name in written:
        where = f"{'forward' if name == 'X' else 'backward'} writes to the {name} it is given"
        rows.append(Row(path, name, float("inf"), where, False))
    return rows


def _check_any_V(
    probe: Probe, path: str, layer: WeightedLayer, X: Array, R: Array, grads: dict
) -> Row:
    kept = layer.V
    layer.forward(X, train=True)
    layer.V = probe.direction(f"{path}/another V", kept.shape)
    try:
        layer.backward(R.copy())
    finally:
        layer.V = kept
    changed = [name for name in layer.params if probe.differ(grads[name], layer.grads[name])]
    where = f"{', '.join(changed)} changed with V" if changed else "the same bits whatever V is"
    return Row(path, "any V", float(bool(changed)), where, not changed)


def _check_network(probe: Probe, network: Network, X: Array, labels: Array) -> list[Row]:
    """Check all gradients of the loss if every V is W, and in any case each layer by itself."""

    def E() -> tuple[float, float]:
        value = probe.number(network.loss(network.forward(X, train=True), labels)[0])
        return value, abs(value)

    layers = dict(network.walk())

    def kinks() -> list[Array]:
        return _kinks(layers.values())

    N, host = network.forward(X, train=True), probe.device.to_host
    network.loss(host(N), host(labels))  # where labels out of range are seen
    _, dN = network.loss(N, labels)
    with _watched(layers.values()) as passes:
        network.forward(X, train=True)
        network.backward(dN, one_hot(labels, N) / len(labels))
    rows = _check_energies(probe, network)
    if all(layer.V is layer.W for layer in network.weighted):
        grads = {path: dict(layer.grads) for path, layer in layers.items()}
        rows += [
            probe.compare(f"E: {path}", name, E, kinks, w, grads[path][name])
            for path, layer in layers.items()
            for name, w in layer.params.items()
        ]
    return rows + _check_each(probe, layers, passes)
