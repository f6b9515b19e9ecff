"""Eq. 3: stochastic gradient descent and Batch Manhattan."""

from collections.abc import Sequence
from dataclasses import dataclass

from minibp import usercode
from minibp.checks import finite
from minibp.device import Array
from minibp.errors import InputError
from minibp.layers import Layer, Linear, WeightedLayer
from minibp.ops.contract import Ops
from minibp.ops.sign import sign
from minibp.ops.update import Feedback, Update
from minibp.plugins import Plugin


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

    plugins  what is made of gradients before momentum, in order, and of parameters after an update
    states   their arrays, by parameter, plug-in and name

    Raises InputError for a rate or a momentum that is negative or not finite.
    """

    def __init__(
        self, slots: list[Slot], rate: float, momentum: float, plugins: Sequence[Plugin] = ()
    ):
        self.slots, self.plugins = slots, tuple(plugins)
        self.rate, self.momentum = finite("rate", rate), finite("momentum", momentum)
        self.memory: dict[str, Array] = {slot.key: 0 * slot.w for slot in slots}
        self.states: dict[str, dict[str, Array]] = {}
        self.projects = any(plugin.projects() for plugin in self.plugins)
        if self.projects:
            self.states["first"] = {slot.key: slot.w.copy() for slot in slots}

    def step(self, fresh: bool = False) -> None:
        """Update every learning parameter in place from its layer's last gradients.

        fresh  whether these are as the last backward left them, so that a plug-in may make them
               anew from what they are the product of

        Every V is then that of the W before, until `network.refresh_feedback()` is called.
        """
        if self.by_kernels:
            updates = [self.update_of(slot, fresh=fresh) for slot in self.slots]
            self.slots[0].layer.ops.update(updates)
            for slot in self.slots:
                self._moved(slot)
            return
        for slot in self.slots:
            w, memory, m = slot.w, self.memory[slot.key], self.momentum_of(slot)
            before = w.copy() if self.projects else w
            g = self.direction(slot, slot.gradient(), w, fresh=fresh)
            tau, self.memory[slot.key] = eq3(slot.setting, g, w, memory, m, slot.decay)
            w += self.rate * slot.multiplier * tau
            for plugin in self._plugins_of(slot):
                if plugin.projects():
                    w[...] = plugin.project(before, w, self.states["first"][slot.key])
            self._moved(slot)

    @property
    def by_kernels(self) -> bool:
        """Whether a compiled tier does Eq. 3: in place and in one pass, so all that is written to
        must be in one piece, and nothing is to be done to W after it."""
        written = [array for slot in self.slots for array in (slot.w, self.memory[slot.key])]
        whole = all(
            array.flags.c_contiguous and getattr(array.flags, "writeable", True)
            for array in written
        )
        ours = type(self).step is Optimizer.step and not self.projects
        return ours and whole and bool(self.slots) and self.slots[0].layer.ops.compiled

    def update_of(
        self, slot: Slot, feedback: Feedback | None = None, fresh: bool = False
    ) -> Update:
        """Return what a tier's `update` needs of a parameter, and perhaps of its V."""
        g = self.direction(slot, slot.gradient(), slot.w, fresh=fresh)
        hyper = self.momentum_of(slot), slot.decay, self.rate, slot.multiplier
        return Update(slot.setting, g, slot.w, self.memory[slot.key], *hyper, feedback)

    @staticmethod
    def _moved(slot: Slot) -> None:
        if isinstance(slot.layer, WeightedLayer) and slot.name == "W":
            slot.layer.moved()

    def direction(
        self, slot: Slot, g: Array, w: Array, name: str = "", fresh: bool = False
    ) -> Array:
        """Return what the plug-ins make of a gradient, which Eq. 3 then takes for g.

        name   of an array that follows the slot's parameter, and has states of its own
        fresh  whether g is the layer's own, as the last backward left it

        Raises InputError for a direction of another shape or dtype.
        """
        for number, plugin in enumerate(self._plugins_of(slot)):
            key = f"{slot.key}/{number}{name}"
            state = self.states.setdefault(key, {})
            with usercode.named(f"update {plugin.name}, {slot.key}"):
                made = None
                if fresh and number == 0 and slot.name == "W":
                    made = self._of_product(plugin, slot, w, state)
                if made is None:
                    made = plugin.direction(g, w, state)
            if getattr(made, "shape", None) != g.shape or made.dtype != g.dtype:
                given = getattr(made, "shape", type(made).__name__)
                raise InputError(
                    f"update {plugin.name}, {slot.key}: direction returned {given} "
                    f"{getattr(made, 'dtype', '')}, expected {g.shape} {g.dtype}."
                )
            g = made
        return g

    @staticmethod
    def _of_product(plugin: Plugin, slot: Slot, w: Array, state: dict[str, Array]) -> Array | None:
        layer = slot.layer
        if type(layer) is not Linear or layer.dN is None:  # a user's own may have changed dW
            return None
        (X,) = layer.recall("X")
        return plugin.direction_of_product(X, layer.dN, w, state)

    def look(self, slot: Slot, g: Array) -> Array:
        """Return `direction` of a gradient, and leave the plug-ins' states as they were."""
        kept = self.states
        self.states = {
            key: {name: array.copy() for name, array in state.items()}
            for key, state in kept.items()
            if key.startswith(f"{slot.key}/")
        }
        try:
            return self.direction(slot, g, slot.w)
        finally:
            self.states = kept

    def momentum_of(self, slot: Slot) -> float:
        """Return Eq. 3's m for a parameter: the last plug-in's that has one, or the optimizer's."""
        own = [p.momentum for p in self._plugins_of(slot) if p.momentum is not None]
        return own[-1] if own else self.momentum

    def _plugins_of(self, slot: Slot) -> list[Plugin]:
        return [plugin for plugin in self.plugins if slot.name in plugin.of]

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
            if f"tau_{name}" not in state:
                state[f"tau_{name}"] = 0 * A
            memory = state[f"tau_{name}"]
            g, m = self.direction(slot, g, A, f"-{name}"), self.momentum_of(slot)
            hyper = m, slot.decay, self.rate, slot.multiplier
            if ops is not None and A.flags.c_contiguous and g.flags.c_contiguous:
                ops.update([Update(slot.setting, g, A, memory, *hyper)])
            else:
                tau, state[f"tau_{name}"] = eq3(slot.setting, g, A, memory, m, slot.decay)
                A += self.rate * slot.multiplier * tau
        return A
