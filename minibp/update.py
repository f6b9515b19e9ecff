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
    if network.fused and ours and _in_one_piece(optimizer):
        _update_in_one_pass(network, optimizer)
    else:
        optimizer.step()
        network.refresh_feedback()


def _in_one_piece(optimizer: Optimizer) -> bool:
    arrays = [layer.params[name] for layer, name, *_ in optimizer.slots]
    flags = [array.flags for array in (*arrays, *optimizer.memory.values())]
    return all(flag.c_contiguous and getattr(flag, "writeable", True) for flag in flags)


def _update_in_one_pass(network: Network, optimizer: Optimizer) -> None:
    rule, concordant = network.rule, type(network.rule) in SIGN_CONCORDANT
    signed, deferred = {}, network.weighted[:1]
    if concordant:
        if rule.redraw == "batch":
            deferred = []  # its M is drawn now or never
        signed = {
            layer: _feedback(network, layer)
            for layer in network.weighted
            if layer.name not in network.symmetric and layer not in deferred
        }
    updates, done = [], set()
    for layer, name, setting, decay, multiplier in optimizer.slots:
        feedback = signed.get(layer) if name == "W" else None
        if feedback:
            done.add(layer)
        arrays = (optimizer.gradient(layer, name), layer.params[name])
        memory, rate = optimizer.memory[f"{layer.name}/{name}"], optimizer.rate * multiplier
        updates.append(Update(setting, *arrays, memory, optimizer.momentum, decay, rate, feedback))
    for layer in signed.keys() - done:  # frozen: its W stays, its V may be drawn anew
        updates.append(Update(FROZEN, *[layer.W] * 3, feedback=signed[layer]))
    network.ops.update(updates)
    if not concordant:
        network.refresh_feedback()
        return
    network.updates += 1
    for layer, feedback in signed.items():
        layer.V = feedback.V
    for layer in deferred:  # the first layer's: the backward ends above it
        if layer.name not in network.symmetric:
            network.made_V.pop(layer.name, None)
            drawn = network.drawn[layer.name] if isinstance(rule, FixedRandomMagnitude) else {}
            layer.defer_V(partial(rule.V, **drawn))


def _feedback(network: Network, layer: WeightedLayer) -> Feedback:
    """Return how a layer's V is to be made, in an array that is no other's."""
    rule, drawn, xp = network.rule, network.drawn[layer.name], network.device.xp
    V = network.made_V.get(layer.name)
    if V is None or any(xp.may_share_memory(V, array) for array in (layer.W, *drawn.values())):
        V = network.made_V[layer.name] = xp.empty_like(layer.W)  # another rule's was not its own
    if isinstance(rule, Uniform | NormalizedUniform):
        c = 1.0 if isinstance(rule, Uniform) else 1 / math.prod(layer.W.shape[:-1])
        return Feedback(CONSTANT, V, c=c)
    stream = None
    if rule.redraw == "batch":
        stream = (network.streams[f"feedback/{layer.name}"].key, network.updates + 1)
    kind = FLIPPED if "S" in drawn else MAGNITUDE
    return Feedback(kind, V, drawn["M"], drawn.get("S"), p=rule.p, stream=stream)
