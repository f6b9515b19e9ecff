"""The end of a training step: Eq. 3, and every V after its W."""

import math
from functools import partial

from minibp.feedback import (
    BatchwiseRandomMagnitude,
    FixedRandomMagnitude,
    NormalizedUniform,
    Uniform,
)
from minibp.layers import WeightedLayer
from minibp.network import Network
from minibp.ops.update import CONSTANT, FLIPPED, FROZEN, MAGNITUDE, Feedback, Update
from minibp.optim import Optimizer

SIGN_CONCORDANT = (Uniform, NormalizedUniform, FixedRandomMagnitude, BatchwiseRandomMagnitude)


def update(network: Network, optimizer: Optimizer) -> None:
    """Do `optimizer.step()` and `network.refresh_feedback()`.

    A fused network has one pass over memory for both, for the rules of Section 2, and leaves the
    first layer's V, which its backward does not use, until it is asked for; for a rule of a
    user's, V follows in a second pass. It writes to the arrays that are there, so it is not for an
    optimizer or a network whose class has methods of its own, nor for arrays that are no one piece.
    """
    ours = type(optimizer).step is Optimizer.step and type(network) is Network
    if network.fused and ours and in_one_piece(optimizer):
        _update_in_one_pass(network, optimizer)
    else:
        optimizer.step()
        network.refresh_feedback()


def place_feedback(network: Network) -> None:
    """Say where each V is after an update in one pass, which the host has to do for a device."""
    for layer in _sign_concordant(network):
        layer.V = network.made_V[layer.path]
    for layer in _deferred(network):
        network.made_V.pop(layer.path, None)
        fixed = isinstance(network.rule, FixedRandomMagnitude)
        layer.defer_V(partial(network.rule.V, **(network.drawn[layer.path] if fixed else {})))


def _sign_concordant(network: Network) -> list[WeightedLayer]:
    """Return the layers whose V is made in the same pass as W."""
    if type(network.rule) not in SIGN_CONCORDANT:
        return []
    deferred = _deferred(network)
    layers = [layer for layer in network.weighted if layer.path not in network.symmetric]
    return [layer for layer in layers if layer not in deferred]


def _deferred(network: Network) -> list[WeightedLayer]:
    """Return the layer whose V is made when it is asked for: that whose V no backward uses, unless
    its M is drawn anew, which is now or never."""
    if type(network.rule) not in SIGN_CONCORDANT or network.rule.redraw == "batch":
        return []
    return [layer for layer in network.unused if layer.path not in network.symmetric]


def in_one_piece(optimizer: Optimizer) -> bool:
    """Return whether all that an optimizer writes to can be written to in one pass."""
    arrays = [layer.params[name] for layer, name, *_ in optimizer.slots]
    flags = [array.flags for array in (*arrays, *optimizer.memory.values())]
    return all(flag.c_contiguous and getattr(flag, "writeable", True) for flag in flags)


def _update_in_one_pass(network: Network, optimizer: Optimizer) -> None:
    feedbacks = {layer: _feedback(network, layer) for layer in _sign_concordant(network)}
    updates, m, rate = [], optimizer.momentum, optimizer.rate
    for layer, name, setting, decay, multiplier in optimizer.slots:
        feedback = feedbacks.get(layer) if name == "W" else None
        arrays = (optimizer.gradient(layer, name), layer.params[name])
        memory = optimizer.memory[f"{layer.path}/{name}"]
        updates.append(Update(setting, *arrays, memory, m, decay, rate, multiplier, feedback))
    learning = {layer for layer, name, *_ in optimizer.slots if name == "W"}
    for layer, feedback in feedbacks.items():
        if layer not in learning:  # frozen: its W stays, its V may be drawn anew
            updates.append(Update(FROZEN, *[layer.W] * 3, feedback=feedback))
    network.ops.update(updates)
    if type(network.rule) in SIGN_CONCORDANT:
        network.updates += 1
        place_feedback(network)
    else:
        network.refresh_feedback()


def _feedback(network: Network, layer: WeightedLayer) -> Feedback:
    """Return how a layer's V is to be made, in an array that is no other's."""
    rule, drawn, xp = network.rule, network.drawn[layer.path], network.device.xp
    V = network.made_V.get(layer.path)
    if V is None or any(xp.may_share_memory(V, array) for array in (layer.W, *drawn.values())):
        V = network.made_V[layer.path] = xp.empty_like(layer.W)  # another rule's was not its own
    if isinstance(rule, Uniform | NormalizedUniform):
        c = 1.0 if isinstance(rule, Uniform) else 1 / math.prod(layer.W.shape[:-1])
        return Feedback(CONSTANT, V, c=c)
    stream = None
    if rule.redraw == "batch":
        stream = (network.streams[f"feedback/{layer.path}"].key, network.updates + 1)
    kind = FLIPPED if "S" in drawn else MAGNITUDE
    return Feedback(kind, V, drawn["M"], drawn.get("S"), p=rule.p, stream=stream)
