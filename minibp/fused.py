"""Layers that the compiled tier runs as one: fewer passes over memory, the same numbers."""

from typing import Any

import numpy as np

from minibp.device import Array
from minibp.layers import AvgPool2D, BatchNorm, Conv2D, Layer, MaxPool2D, ReLU


def fused_units(layers: list[Layer], ops: Any) -> list[Any]:
    """Return the layers, with each run of conv → (BN) → (ReLU) → pool made one Block.

    Results are kept in memory of their own from step to step: an array that a layer returned, or a
    gradient, is overwritten in the next step.
    """
    from minibp.ops.cpu.workspace import Workspace

    units, rest = [], list(layers)
    for layer in layers:
        layer.ops = type(ops)(ops.scratch, Workspace(ops.team))
    while rest:
        block = _block(rest)
        units.append(block or rest[0])
        del rest[: len(block.layers) if block else 1]
    return units


def _block(layers: list[Layer]) -> "Block | None":
    """Return the block that the list begins with, or None."""
    taken, kinds = [], [(Conv2D,), (BatchNorm,), (ReLU,), (MaxPool2D, AvgPool2D)]
    for kind in kinds:
        found = len(taken) < len(layers) and isinstance(layers[len(taken)], kind)
        if found:
            taken.append(layers[len(taken)])
        elif kind in (kinds[0], kinds[3]):
            return None
    return Block(taken) if Block.can_run(taken) else None


class Block:
    """conv → (BN) → (ReLU) → pool, run as one unit of a network, with the layers' own arrays.

    What is only needed within the block is not there to be looked at: a trace has None for it.
    """

    def __init__(self, layers: list[Layer]):
        from minibp.ops.cpu.block import BlockOps, Pooling

        self.layers = layers
        self.conv, self.pool = layers[0], layers[-1]
        self.bn = next((layer for layer in layers if isinstance(layer, BatchNorm)), None)
        kind = "max" if isinstance(self.pool, MaxPool2D) else "avg"
        relu = any(isinstance(layer, ReLU) for layer in layers)
        pooling = Pooling(kind, self.pool.window, self.pool.stride, self.pool.padding, relu)
        self.ops = BlockOps(self.conv.ops, pooling, self.conv.stride, self.conv.padding)

    @staticmethod
    def can_run(layers: list[Layer]) -> bool:
        """Whether the compiled tier can run these layers as one."""
        window = layers[-1].window
        return window[0] * window[1] <= 127  # a place in it is kept in a byte

    def forward(self, X: Array, *, train: bool) -> Array:
        """Return the pooled output (B, PH, PW, J) of X (B, H, W, C)."""
        conv, bn = self.conv, self.bn
        conv.check_input(X, f"(B, H, W, {conv.W.shape[2]})")
        scale, shift = self._scale_and_shift()
        stored = None
        if bn is not None and not train:
            stored = bn.stored_moments(X)
        Y, mean, std = self.ops.forward(
            X, conv.W, conv.b, scale, shift, bn.eps if bn else 0.0, stored
        )
        for layer in self.layers:
            layer.remember(False)
        conv.remember(train, X=X)
        if bn is not None:
            bn.remember(train, mean=mean, std=std)
        return Y

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        """Return dX (B, H, W, C), and set the gradients of the block's layers."""
        conv, bn = self.conv, self.bn
        (X,) = conv.recall("X")
        mean, std = bn.recall("mean", "std") if bn else (None, None)
        V = conv.V if need_dX else None  # Eq. 2: the only use of V
        scale, _ = self._scale_and_shift()
        learns = bn is not None and bn.scale is not None
        dX, dW, db, dscale, dshift = self.ops.backward(
            X, dY, conv.W.shape, V, scale, mean, std, learns=learns
        )
        conv.grads = {"W": dW} if conv.b is None else {"W": dW, "b": db}
        if bn is not None:
            bn.grads = {} if bn.scale is None else {"scale": dscale, "shift": dshift}
        return dX

    def _scale_and_shift(self) -> tuple[Array | None, Array | None]:
        if self.bn is None:
            return None, None
        if self.bn.scale is None:
            features = self.conv.W.shape[-1:]
            return np.ones(features, self.conv.W.dtype), np.zeros(features, self.conv.W.dtype)
        return self.bn.scale, self.bn.shift
