"""The end of a training step: Eq. 3, and every V after its W."""

import math
from functools import partial
from typing import Any

import numpy as np

from minibp.feedback import (
    BatchwiseRandomMagnitude,
    FixedRandomMagnitude,
    NormalizedUniform,
    Uniform,
)
from minibp.layers import WeightedLayer
from minibp.network import Network
from minibp.optim import Optimizer


def update(network: Network, optimizer: Optimizer) -> None:
    """Do `optimizer.step()` and `network.refresh_feedback()`.

    A fused network has one pass over memory for both, for the rules of Section 2, and leaves the
    first layer's V, which its backward does not use, until it is asked for; for a rule of a
    user's, V follows in a second pass. It writes to the arrays that are there, so it is not for an
    optimizer or a network whose class has methods of its own, nor for arrays that are no one piece.
    """
    ours = type(optimizer).step is Optimizer.step and type(network) is Network
    if network.fused and ours and _in_one_piece(optimizer):
        _update_fused(network, optimizer)
    else:
        optimizer.step()
        network.refresh_feedback()


def _in_one_piece(optimizer: Optimizer) -> bool:
    arrays = [layer.params[name] for layer, name, *_ in optimizer.slots]
    flags = [array.flags for array in (*arrays, *optimizer.memory.values())]
    return all(flag.c_contiguous and flag.writeable for flag in flags)


def _update_fused(network: Network, optimizer: Optimizer) -> None:
    from minibp.ops.cpu.update import KEEP, update_and_refresh

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
    jobs, done = [], set()
    for layer, name, setting, decay, multiplier in optimizer.slots:
        w, memory = layer.params[name], optimizer.memory[f"{layer.name}/{name}"]
        kind = w.dtype.type
        hyper = (kind(optimizer.momentum), kind(decay), kind(optimizer.rate * multiplier))
        feedback = (KEEP, *[memory.reshape(-1)] * 2, kind(0), memory.reshape(-1), *NOTHING)
        if name == "W" and layer in signed:
            feedback = signed[layer]
            done.add(layer)
        gradient = optimizer.gradient(layer, name)
        flat = (gradient.reshape(-1), w.reshape(-1), memory.reshape(-1))
        jobs.append((setting, *flat, *hyper, *feedback))
    for layer in signed.keys() - done:  # frozen: its W stays, its V may be drawn anew
        w, kind = layer.W.reshape(-1), layer.W.dtype.type
        jobs.append((FROZEN, w, w, w, kind(0), kind(0), kind(0), *signed[layer]))

    def share(worker: int, *_: int) -> None:
        for job in jobs:
            update_and_refresh(*job, *_part(job[1].size, worker, network.ops.team.threads))

    network.ops.team.run(share, network.ops.team.threads)
    if not concordant:
        network.refresh_feedback()
        return
    network.updates += 1
    for layer, feedback in signed.items():
        layer.V = feedback[4].reshape(layer.W.shape)
    for layer in deferred:  # the first layer's: the backward ends above it
        if layer.name not in network.symmetric:
            network.made_V.pop(layer.name, None)
            drawn = network.drawn[layer.name] if isinstance(rule, FixedRandomMagnitude) else {}
            layer.defer_V(partial(rule.V, **drawn))


SIGN_CONCORDANT = (Uniform, NormalizedUniform, FixedRandomMagnitude, BatchwiseRandomMagnitude)
NOTHING = (np.float32(0), np.zeros(2, np.uint64), -1)  # p, key and step where nothing is drawn
FROZEN = -1
SMALL = 4096  # elements that one thread does alone


def _feedback(network: Network, layer: WeightedLayer) -> tuple[Any, ...]:
    """Return what the kernel takes of a layer's rule: kind, M, S, c, V, p, key, step."""
    from minibp.ops.cpu.update import CONSTANT, FLIPPED, MAGNITUDE

    rule, drawn = network.rule, network.drawn[layer.name]
    V = network.made_V.get(layer.name)
    kept = (layer.W, *drawn.values())
    if V is None or any(np.may_share_memory(V, array) for array in kept):
        V = network.made_V[layer.name] = np.empty_like(layer.W)  # another rule's was not its own
    V = V.reshape(-1)
    kind = layer.W.dtype.type
    if isinstance(rule, Uniform | NormalizedUniform):
        c = 1 if isinstance(rule, Uniform) else 1 / math.prod(layer.W.shape[:-1])
        return (CONSTANT, V, V, kind(c), V, *NOTHING)
    M, S = drawn["M"].reshape(-1), drawn.get("S", drawn["M"]).reshape(-1)
    which = FLIPPED if "S" in drawn else MAGNITUDE
    drawing = NOTHING
    if rule.redraw == "batch":
        key = network.streams[f"feedback/{layer.name}"].key
        drawing = (np.float32(rule.p), key, network.updates + 1)
    return (which, M, S, kind(0), V, *drawing)


def _part(size: int, worker: int, threads: int) -> tuple[int, int]:
    """Return a worker's share of an array, in whole blocks of eight random numbers."""
    if size < SMALL:
        return (0, size) if worker == 0 else (size, size)
    bounds = [size * k // threads // 8 * 8 for k in range(threads)] + [size]
    return bounds[worker], bounds[worker + 1]
