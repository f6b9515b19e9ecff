"""What there is at one layer's synapses after an update of W: all that a V that learns may use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minibp.device import Array
from minibp.rng import Draws

LOCAL = {"V", "X", "dW", "e", "state", "step", "drawn", "rng", "hebb", "move", "back"}


@dataclass(frozen=True)
class _Here:
    """The values, without a note of who reads them."""

    W: Array
    V: Array
    X: Array
    dW: Array
    e: Array | None
    state: dict[str, Array]
    step: int
    drawn: dict[str, Array]
    rng: Draws
    N: Callable[..., Array]
    back: Callable[..., Array]
    hebb: Callable[[Array, Array], Array]
    move: Callable[..., Array]


class Synapses:
    """One layer's synapses.

    W, V, X, dW         its weights, feedback, last inputs (B, …) and last gradient, before Eq. 3
    e                   the error from afar (B, outputs), or None
    state               arrays of the rule's own, by name, kept from update to update
    step                the number of this update, 1, 2, …
    drawn               what `draw` returned
    rng                 a stream of random numbers of this layer and this step
    N(x), N(x, A)       what the weights W, or A, make of inputs x
    back(y), back(y, A) what V, or A, sends back of y, as in Eq. 2
    hebb(x, y)          Σ x y over the batch and all positions, of V's shape: dW is hebb(X, dN)
    move(A, g, name)    moves A by Eq. 3 with g for its gradient, and W's numbers; returns A

    `read` has the names that were used: whether a rule transports weights.
    """

    W: Array
    V: Array
    X: Array
    dW: Array
    e: Array | None
    state: dict[str, Array]
    step: int
    drawn: dict[str, Array]
    rng: Draws
    N: Callable[..., Array]
    back: Callable[..., Array]
    hebb: Callable[[Array, Array], Array]
    move: Callable[..., Array]

    def __init__(self, read: set[str], **values: Any):
        self._values, self._read = _Here(**values), read

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._values, name)
        self._read.add(name)
        return value
