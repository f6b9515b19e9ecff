"""Eq. 3: stochastic gradient descent and Batch Manhattan."""

from minibp.device import Array
from minibp.errors import InputError
from minibp.layers import Layer, WeightedLayer
from minibp.ops.sign import sign


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


class Optimizer:
    """Moves parameters by w(t+1) = w(t) + η τ(t).

    `rate` is η; it stands outside the memory, which is kept when the rate drops. `memory` holds
    τ(t−1), or κ(t−1) in Setting 3, by "layer's path/parameter".

    Raises InputError for a rate or a momentum that is negative or not finite.
    """

    def __init__(
        self,
        slots: list[tuple[Layer, str, int, float, float]],
        rate: float,
        momentum: float,
    ):
        for what, value in (("rate", rate), ("momentum", momentum)):
            if not 0 <= value < float("inf"):
                raise InputError(f"{what} {value}: expected a finite number of 0 or more.")
        self.slots, self.rate, self.momentum = slots, rate, momentum
        self.memory: dict[str, Array] = {
            f"{layer.path}/{name}": 0 * layer.params[name] for layer, name, *_ in slots
        }

    def step(self) -> None:
        """Update every learning parameter in place from its layer's last gradients.

        Every V is then that of the W before, until `network.refresh_feedback()` is called.
        """
        for layer, name, setting, decay, multiplier in self.slots:
            w, key, g = layer.params[name], f"{layer.path}/{name}", self.gradient(layer, name)
            tau, self.memory[key] = eq3(setting, g, w, self.memory[key], self.momentum, decay)
            w += self.rate * multiplier * tau
            if isinstance(layer, WeightedLayer) and name == "W":
                layer.moved()

    @staticmethod
    def gradient(layer: Layer, name: str) -> Array:
        """Return a parameter's last gradient; raise RuntimeError if there is none yet."""
        if name not in layer.grads:
            raise RuntimeError(f"layer {layer.path!r} has no gradient yet: run backward first.")
        return layer.grads[name]
