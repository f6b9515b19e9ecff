"""The end of a training step: Eq. 3, and every V after its W, in one pass where kernels can."""

from functools import partial

from minibp.device import Array
from minibp.layers import WeightedLayer
from minibp.network import Network
from minibp.ops.update import FROZEN, KEEP, Feedback, Formula, Update
from minibp.optim import Optimizer


def update(network: Network, optimizer: Optimizer) -> None:
    """Do `optimizer.step()` and `network.refresh_feedback()`.

    A fused network has one pass over memory for both if its rule has a formula; otherwise V follows
    in a second pass. A V that no backward uses, the first layer's, is left until it is asked for.
    The pass updates arrays in place, so it is used only for the built-in Optimizer and Network
    classes and for C-contiguous arrays.
    """
    ours = type(optimizer).step is Optimizer.step and type(network) is Network
    if network.fused and ours and in_one_piece(optimizer) and not optimizer.projects:
        _update_in_one_pass(network, optimizer)
    else:
        optimizer.step()
        network.refresh_feedback(optimizer)


def in_one_piece(optimizer: Optimizer) -> bool:
    """Return whether all that an optimizer writes to can be written to in one pass."""
    flags = [slot.w.flags for slot in optimizer.slots]
    flags += [array.flags for array in optimizer.memory.values()]
    return all(flag.c_contiguous and getattr(flag, "writeable", True) for flag in flags)


def formulas(network: Network) -> dict[WeightedLayer, Formula]:
    """Return the formula of each V that follows its W; none if the rule has none for one of them,
    or draws what a kernel does not."""
    rule, found = network.rule, {}
    if rule is None:
        return {}
    for layer in network.weighted:
        if layer.path not in network.symmetric:
            formula = rule.formula(layer.W.shape, network.drawn[layer.path])
            if formula is None or (rule.redraw == "batch" and not formula.draws):
                return {}
            found[layer] = formula
    return found


def place_feedback(network: Network) -> None:
    """Give each layer the V that the pass made, which a replay leaves to the host."""
    rule, found = network.rule, formulas(network)
    late = _deferred(network, found)
    for layer, formula in found.items():
        if rule is not None and layer in late:
            network.made_V.pop(layer.path, None)
            drawn = {} if formula.M is None else network.drawn[layer.path]
            layer.defer_V(partial(rule.V, **drawn))
        else:
            layer.V = network.made_V[layer.path]


def _deferred(network: Network, found: dict[WeightedLayer, Formula]) -> list[WeightedLayer]:
    """Return the layers whose V is made when it is asked for: those whose V no backward uses.

    Not those whose V stays, or whose M is drawn anew, which is now or never.
    """
    unused = [(layer, found[layer]) for layer in network.unused if layer in found]
    return [layer for layer, formula in unused if formula.kind != KEEP and not formula.draws]


def _update_in_one_pass(network: Network, optimizer: Optimizer) -> None:
    found = formulas(network)
    late = _deferred(network, found)
    feedbacks = {
        layer: _feedback(network, layer, formula)
        for layer, formula in found.items()
        if formula.kind != KEEP and layer not in late
    }
    updates, learning = [], set()
    for slot in optimizer.slots:
        feedback = None
        if isinstance(slot.layer, WeightedLayer) and slot.name == "W":
            learning.add(slot.layer)
            feedback = feedbacks.get(slot.layer)
        g = optimizer.direction(slot, slot.gradient(), slot.w)
        arrays = g, slot.w, optimizer.memory[slot.key]
        hyper = optimizer.momentum_of(slot), slot.decay, optimizer.rate, slot.multiplier
        updates.append(Update(slot.setting, *arrays, *hyper, feedback))
    for layer, feedback in feedbacks.items():
        if layer not in learning:  # frozen: its W stays, its V may be drawn anew
            updates.append(Update(FROZEN, layer.W, layer.W, layer.W, feedback=feedback))
    network.ops.update(updates)
    if found:
        network.updates += 1
        place_feedback(network)
    else:
        network.refresh_feedback(optimizer)


def _feedback(network: Network, layer: WeightedLayer, formula: Formula) -> Feedback:
    """Return how a layer's V is to be made, in an array that is no other's."""
    drawn, xp = network.drawn[layer.path], network.device.xp
    V: Array | None = network.made_V.get(layer.path)
    if V is None or any(xp.may_share_memory(V, array) for array in (layer.W, *drawn.values())):
        V = network.made_V[layer.path] = xp.empty_like(layer.W)  # another rule's was not its own
    stream = None
    if formula.draws:
        stream = (network.streams[f"feedback/{layer.path}"].key, network.updates + 1)
    return Feedback(formula, V, stream)
