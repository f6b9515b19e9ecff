"""Layers that the compiled tier runs as one: fewer passes over memory, the same numbers."""

from minibp.device import Array, namespace
from minibp.errors import InputError
from minibp.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Layer,
    Linear,
    MaxPool2D,
    ReLU,
    WeightedLayer,
)
from minibp.layers.trace import Trace
from minibp.ops.contract import BlockOps, Ops, Pooling

KINDS: dict[type, str] = {MaxPool2D: "max", AvgPool2D: "avg"}


def fused_units(layers: list[Layer], ops: Ops) -> "list[Layer | Block]":
    """Return the layers, with each conv → (BN) → (ReLU) → (pool) and each fully connected → (BN) →
    (ReLU) made one Block, where the tier has one.

    On a CPU results are kept from step to step: an array that a layer returned, or a gradient, is
    overwritten in the next step.
    """
    for layer in layers:
        layer.ops = ops.kept()
    units: list[Layer | Block] = []
    rest = list(layers)
    while rest:
        block = _block(rest)
        units.append(block or rest[0])
        del rest[: len(block.layers) if block else 1]
    return units


def _block(layers: list[Layer]) -> "Block | None":
    """Return the block that the list begins with, or None."""
    first, rest = layers[0], layers[1:]
    taken = [first]
    for cls in (BatchNorm, ReLU):
        if rest and type(rest[0]) is cls:
            taken.append(rest.pop(0))
    relu = type(taken[-1]) is ReLU
    # Of exactly these classes: a user's own layer, derived from one, runs itself.
    if type(first) is Linear:
        ops = first.ops.dense_block(relu)
        return None if ops is None else Block(first, taken, ops)
    if type(first) is Conv2D:
        pooling, pool = None, rest[0] if rest else None
        if isinstance(pool, MaxPool2D | AvgPool2D) and type(pool) in KINDS:
            pooling = Pooling(KINDS[type(pool)], pool.window, pool.stride, pool.padding)
            taken.append(pool)
        if len(taken) > 1:
            ops = first.ops.conv_block(first.stride, first.padding, relu, pooling)
            return None if ops is None else Block(first, taken, ops)
    return None


class Block:
    """A layer with weights and what follows it, run as one unit of a network, with the layers' own
    arrays. What is only needed within is not there to be looked at: a trace has None for it.
    """

    def __init__(self, weighted: WeightedLayer, layers: list[Layer], ops: BlockOps):
        self.weighted, self.layers, self.ops = weighted, layers, ops
        self.bn = next((layer for layer in layers if isinstance(layer, BatchNorm)), None)
        self._shape: tuple[int, ...] = ()  # of the last output
        self._fixed = self._one_and_zero()

    def forward(self, X: Array, *, train: bool) -> Array:
        """Return the last layer's output for X (B, H, W, C) or (B, I)."""
        layer, bn = self.weighted, self.bn
        layer.check_input(X, f"({'B, H, W' if X.ndim == 4 else 'B'}, {layer.W.shape[-2]})")
        if bn is not None:
            bn.check_input(layer.W)
            if train and X.ndim == 2:
                bn.check_batch((len(X), layer.W.shape[-1]))
        scale, shift = self._scale_and_shift()
        stored = bn.stored_moments(X) if bn is not None and not train else None
        eps = bn.eps if bn is not None else 0.0
        Y, mean, std = self.ops.forward(X, layer.W, layer.b, scale, shift, eps, stored)
        for inner in self.layers:
            inner.remember(False)
        layer.remember(train, X=X)
        if bn is not None:
            bn.remember(train, mean=mean, std=std)
        self._shape = Y.shape
        return Y

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        """Return dX, and set the gradients of the block's layers."""
        layer, bn = self.weighted, self.bn
        (X,) = layer.recall("X")
        mean, std = bn.recall("mean", "std") if bn else (None, None)
        if dY.shape != self._shape or dY.dtype != layer.W.dtype:
            raise InputError(
                f"layer {self.layers[-1].path!r}: dY has shape {dY.shape} and dtype {dY.dtype}, "
                f"expected {self._shape} and {layer.W.dtype}."
            )
        afar = layer.far is not None
        V = layer.V if need_dX and not afar else None  # Eq. 2: the only use of V
        scale, _ = self._scale_and_shift()
        learns = bn is not None and bn.scale is not None
        dX, dW, db, dscale, dshift = self.ops.backward(
            X, dY, layer.W.shape, V, scale, mean, std, learns=learns
        )
        layer.dN = self.ops.dN
        layer.grads = {"W": dW} if layer.b is None else {"W": dW, "b": db}
        if bn is not None:
            bn.grads = {"scale": dscale, "shift": dshift} if learns else {}
        return layer.dX_from_afar() if need_dX and afar else dX

    def traces(
        self, X: Array | None, Y: Array | None, dY: Array | None, dX: Array | None
    ) -> list[Trace]:
        """Return its layers' traces: what they hand to each other is None."""
        within = [None] * (len(self.layers) - 1)
        ends = zip([X, *within], [*within, Y], [*within, dY], [dX, *within], strict=True)
        layers = zip(self.layers, ends, strict=True)
        return [row for layer, end in layers for row in layer.traces(*end)]

    def _scale_and_shift(self) -> tuple[Array | None, Array | None]:
        if self.bn is None:
            return None, None
        return self._fixed if self.bn.scale is None else (self.bn.scale, self.bn.shift)

    def _one_and_zero(self) -> tuple[Array, Array]:
        W = self.weighted.W
        xp = namespace(W)
        return xp.ones(W.shape[-1], W.dtype), xp.zeros(W.shape[-1], W.dtype)
