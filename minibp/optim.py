"""Eq. 3: stochastic gradient descent and Batch Manhattan."""

from dataclasses import dataclass

from minibp.checks import finite
from minibp.device import Array
from minibp.errors import InputError
from minibp.layers import Layer, WeightedLayer
from minibp.ops.contract import Ops
from minibp.ops.sign import sign
from minibp.ops.update import Update


def eq3(setting: int, g: Array, w: Array, memory: Array | int, m: float, d: float):
    """Return τ(t) and what the momentum term remembers, τ(t) or κ(t) (Eq. 3).

    g = Σ_b ∂E/∂w, w(t) and memory, τ(t−1) or κ(t−1), have one shape; m is momentum, d decay.
    """
    if setting == 0:
        tau = -g + m * memory - d * w
        return tau, tau
    if setting == 1:
        tau = -sign(g) + m * memory - d * w
        return tau, tau
    if setting == 2:
        tau = sign(-sign(g) + m * memory - d * w)
        return tau, tau
    if setting == 3:
        kappa = -sign(g) + m * memory - d * w
        return sign(kappa), kappa
    raise InputError(f"Eq. 3 has settings 0 to 3, not {setting!r}.")


@dataclass(frozen=True)
class Slot:
    """A parameter that learns, and how.

    layer, name  whose it is: "W", "b", "scale" or "shift"
    setting      of Eq. 3, 0 to 3
    decay        d of Eq. 3, 0 or more
    multiplier   of the learning rate
    """

    layer: Layer
    name: str
    setting: int = 0
    decay: float = 0.0
    multiplier: float = 1.0

    @property
    def key(self) -> str:
        """What its memory is called: "layer/parameter"."""
        return f"{self.layer.path}/{self.name}"

    @property
    def w(self) -> Array:
        """The parameter itself."""
        return self.layer.params[self.name]

    def gradient(self) -> Array:
        """Return the last gradient; raise RuntimeError if there is none yet."""
        layer = self.layer
        if self.name not in layer.grads:
            raise RuntimeError(f"layer {layer.path!r} has no gradient yet: run backward first.")
        return layer.grads[self.name]


class Optimizer:
    """Moves parameters by w(t+1) = w(t) + η τ(t).

    `rate` is η; it stands outside the memory, which is kept when the rate drops. `memory` holds
    τ(t−1), or κ(t−1) in Setting 3, by "layer's path/parameter".

    Raises InputError for a rate or a momentum that is negative or not finite.
    """

    def __init__(self, slots: list[Slot], rate: float, momentum: float):
        self.slots = slots
        self.rate, self.momentum = finite("rate", rate), finite("momentum", momentum)
        self.memory: dict[str, Array] = {slot.key: 0 * slot.w for slot in slots}

    def step(self) -> None:
        """Update every learning parameter in place from its layer's last gradients.

        Every V is then that of the W before, until `network.refresh_feedback()` is called.
        """
        for slot in self.slots:
            w, memory = slot.w, self.memory[slot.key]
            tau, self.memory[slot.key] = eq3(
                slot.setting, slot.gradient(), w, memory, self.momentum, slot.decay
            )
            w += self.rate * slot.multiplier * tau
            if isinstance(slot.layer, WeightedLayer) and slot.name == "W":
                slot.layer.moved()

    def follow(
        self,
        layer: WeightedLayer,
        A: Array,
        g: Array,
        state: dict[str, Array],
        name: str,
        ops: Ops | None,
    ) -> Array:
        """Move A, in place, as the layer's W moves: by Eq. 3, with g for its gradient; return it.

        Where W is frozen, A stays. Its memory is in `state`, as `tau_NAME`.

        ops  a tier that does it in one pass, or None
        """
        slots = [slot for slot in self.slots if slot.layer is layer and slot.name == "W"]
        for slot in slots:
            memory = state.setdefault(f"tau_{name}", 0 * A)
            hyper = self.momentum, slot.decay, self.rate, slot.multiplier
            if ops is not None and A.flags.c_contiguous and g.flags.c_contiguous:
                ops.update([Update(slot.setting, g, A, memory, *hyper)])
            else:
                tau, state[f"tau_{name}"] = eq3(
                    slot.setting, g, A, memory, self.momentum, slot.decay
                )
                A += self.rate * slot.multiplier * tau
        return A
