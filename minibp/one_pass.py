"""The end of a training step: Eq. 3, and every V after its W, in one pass where kernels can."""

from minibp.layers import WeightedLayer
from minibp.network import Network
from minibp.ops.update import FROZEN, Update
from minibp.optim import Optimizer


def update(network: Network, optimizer: Optimizer, fresh: bool = False) -> None:
    """Do `optimizer.step()` and `network.refresh_feedback()`.

    A fused network has one pass over memory for both if its rule has a formula; otherwise V follows
    in a second pass. A V that no backward uses, the first layer's, is left until it is asked for.
    Only the built-in Network and Optimizer are known to do no more than that.

    fresh  whether the gradients are as the last backward left them: see Optimizer.step
    """
    if network.fused and type(network) is Network and optimizer.by_kernels:
        _update_in_one_pass(network, optimizer, fresh)
    else:
        # A subclass's own step need not know of it.
        optimizer.step(fresh) if type(optimizer).step is Optimizer.step else optimizer.step()
        network.refresh_feedback(optimizer)


def _update_in_one_pass(network: Network, optimizer: Optimizer, fresh: bool) -> None:
    feedbacks, updates, learning = network.feedbacks(network.updates + 1), [], set()
    for slot in optimizer.slots:
        feedback = None
        if isinstance(slot.layer, WeightedLayer) and slot.name == "W":
            learning.add(slot.layer)
            feedback = feedbacks.get(slot.layer)
        updates.append(optimizer.update_of(slot, feedback, fresh))
    for layer, feedback in feedbacks.items():
        if layer not in learning:  # frozen: its W stays, its V may be drawn anew
            updates.append(Update(FROZEN, layer.W, layer.W, layer.W, feedback=feedback))
    network.ops.update(updates)
    if network.formulas():
        network.updates += 1
        network.place_feedback()
    else:
        network.refresh_feedback(optimizer)
