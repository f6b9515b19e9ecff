"""How a network's feedback compares with its weights, and with backpropagation, on one batch."""

from typing import Any

import numpy as np

from minibp.device import Array
from minibp.layers import Linear, ReLU, WeightedLayer
from minibp.layers.trace import Trace
from minibp.losses import one_hot
from minibp.network import Network
from minibp.ops.norm import norm
from minibp.ops.sign import sign
from minibp.optim import Optimizer, Slot
from minibp.training.metrics import angle, sign_concordance
from minibp.training.spectra import effective_rank, effective_rank_of_product

KEYS = (
    *("sign_concordance", "angle_V_W", "norm_V_W", "angle_dW", "angle_update", "angle_dX"),
    *("norm_dX", "zero_share", "dead_share", "rank_dN", "rank_dW"),
)


def diagnose(
    network: Network, X: Array, labels: Array, optimizer: Optimizer | None = None
) -> dict[str, dict[str, float | None]]:
    """Return, by weighted layer's path, how its feedback does on one batch.

    sign_concordance  share of V's signs that are W's
    angle_V_W         degrees between V and W
    norm_V_W          ‖V‖ / ‖W‖
    angle_dW          degrees between dW computed with V and with V = W everywhere, before Eq. 3
    angle_update      the same of what plug-ins and BM's sign make of both dW, before momentum
    angle_dX          degrees between the errors ∂E/∂X handed down, with V and with V = W everywhere
    norm_dX           norm of the former
    zero_share        share of exactly zero elements of dW
    dead_share        share of the units of the ReLU that follows that are 0 for the whole batch
    rank_dN, rank_dW  effective rank of the errors ∂E/∂N (B·positions, J), and of dW

    None stands for what is undefined or not finite: signs and angles of a V that takes an error
    from afar, dX of the lowest layer, the update of a W that does not learn or without `optimizer`.
    It takes one forward and two backwards, layer by layer; weights, V, BN's moments and the
    optimizer are left as they were.
    """
    with np.errstate(all="ignore"), network.unfused():  # exploding gradients have no angle
        N = network.forward(X, train=True)
        _, dN = network.loss(N, labels)
        network.backward(dN, one_hot(labels, N) / len(labels))
        ours, V = network.trace(), {layer.path: layer.V for layer in network.weighted}
        with network.backpropagating():
            network.backward(dN)
        true = {row.name: row for row in network.trace()}
        slots = {} if optimizer is None else {slot.key: slot for slot in optimizer.slots}
        rows: dict[str, dict[str, Any]] = {}
        for (_, layer), row in zip(network.walk(), ours, strict=True):
            if isinstance(layer, WeightedLayer):
                path, of_backprop = layer.path, true[layer.path]
                rows[path] = _compare(layer, V[path], row, of_backprop)
                rows[path]["angle_update"] = _angle_of_updates(
                    optimizer, slots.get(f"{path}/W"), row.grads["W"], of_backprop.grads["W"]
                )
                rows[path] |= _ranks(network, layer, row)
            elif isinstance(layer, ReLU) and rows and row.Y is not None:
                last = next(reversed(rows.values()))
                Y = row.Y.reshape(-1, row.Y.shape[-1])
                last.setdefault("dead_share", (Y.max(axis=0) <= 0).mean())
        return {path: _on_host(network, row) for path, row in rows.items()}


def _compare(layer: WeightedLayer, V: Array, row: Trace, true: Trace) -> dict[str, Any]:
    """Return what is computed on the device, of a layer's trace with V and with V = W."""
    dW, afar = row.grads["W"], layer.V_shape is not None
    return {
        "sign_concordance": None if afar else sign_concordance(V, layer.W),
        "angle_V_W": None if afar else angle(V, layer.W),
        "norm_V_W": norm(V) / norm(layer.W),
        "angle_dW": angle(dW, true.grads["W"]),
        "angle_dX": None if row.dX is None or true.dX is None else angle(row.dX, true.dX),
        "norm_dX": None if row.dX is None else norm(row.dX),
        "zero_share": (dW == 0).mean(),
    }


def _angle_of_updates(
    optimizer: Optimizer | None, slot: Slot | None, dW: Array, true: Array
) -> Array | None:
    if optimizer is None or slot is None:
        return None
    ours, theirs = (optimizer.look(slot, g) for g in (dW, true))
    return angle(sign(ours), sign(theirs)) if slot.setting else angle(ours, theirs)


def _ranks(network: Network, layer: WeightedLayer, row: Trace) -> dict[str, float | None]:
    """Return the effective ranks, which are computed on the host, in double precision."""
    J = layer.W.shape[-1]

    def to_host(array: Array | None) -> np.ndarray:
        assert array is not None  # layer by layer, a trace has them all
        return network.device.to_host(array)

    dN = to_host(row.dY).reshape(-1, J)
    if isinstance(layer, Linear):
        X = to_host(row.X)
        return {"rank_dN": effective_rank(dN), "rank_dW": effective_rank_of_product(X, dN)}
    dW = to_host(row.grads["W"]).reshape(-1, J)
    return {"rank_dN": effective_rank(dN), "rank_dW": effective_rank(dW)}


def _on_host(network: Network, row: dict[str, Any]) -> dict[str, float | None]:
    """Return a layer's numbers in the order of KEYS, copied together."""
    there = {key: x for key, x in row.items() if x is not None and type(x) is not float}
    dtype = network.weighted[0].W.dtype
    values = network.device.xp.stack([value.astype(dtype) for value in there.values()])
    row |= zip(there, map(float, network.device.to_host(values)), strict=True)
    found = {key: row.get(key) for key in KEYS}
    return {
        key: value if value is not None and np.isfinite(value) else None
        for key, value in found.items()
    }
