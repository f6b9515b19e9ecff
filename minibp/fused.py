"""Layers that the compiled tier runs as one: fewer passes over memory, the same numbers."""

from dataclasses import dataclass

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
    Residual,
    Sequential,
    WeightedLayer,
)
from minibp.layers.base import Unit
from minibp.layers.trace import Trace
from minibp.ops.contract import BlockOps, Ops, Pooling
from minibp.ops.window import output_size

KINDS: dict[type, str] = {MaxPool2D: "max", AvgPool2D: "avg"}


class Joining:
    """Makes units of layers: each conv → (BN) → (ReLU) → (pool) and each fully connected → (BN) →
    (ReLU) is one Block, where the tier has one, and likewise a residual block and its ReLU.

    On a CPU results are kept from step to step: an array that a layer returned, or a gradient, is
    overwritten in the next step, and an error once the layers below have theirs.
    """

    def __init__(self, ops: Ops):
        self.ops, self.above = ops, ops.kept()
        self._units: dict[tuple[Layer, ...], list[Unit]] = {}  # a graph knows their arrays
        self._kept: dict[Layer, Ops] = {}
        self._inside: dict[object, Joining] = {}

    def __call__(self, layers: list[Layer]) -> list[Unit]:
        """Return the units: for the same layers the same as before."""
        for layer in layers:
            if layer not in self._kept:
                self._kept[layer] = self.ops.kept(self.above)
            layer.ops = self._kept[layer]
        if tuple(layers) not in self._units:
            self._units[tuple(layers)] = _units(layers)
        return self._units[tuple(layers)]

    def inside(self, layer: Layer, place: object = "") -> "Joining":
        # A user's own may need the error that it was given after the layers inside have theirs.
        key = place if type(layer) in (Sequential, Residual) else layer
        if key not in self._inside:
            self._inside[key] = Joining(self.ops)
        return self._inside[key]


class Apart:
    """Leaves each layer a unit of its own, with a tier's own operations."""

    def __init__(self, ops: Ops):
        self.ops = ops

    def __call__(self, layers: list[Layer]) -> list[Unit]:
        for layer in layers:
            layer.ops = self.ops
        return list(layers)

    def inside(self, layer: Layer, place: object = "") -> "Apart":
        return self


def _units(layers: list[Layer]) -> list[Unit]:
    units: list[Unit] = []
    rest = list(layers)
    while rest:
        block = _residual_block(rest) or _block(rest)
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


def _residual_block(layers: list[Layer]) -> "ResidualBlock | None":
    """Return what the list begins with, a residual block whose branch ends with conv → BN, and a
    ReLU; or None."""
    if len(layers) < 2 or type(layers[0]) is not Residual or type(layers[1]) is not ReLU:
        return None
    last = layers[0].branch.units[-1] if layers[0].branch.units else None
    if not isinstance(last, Block) or type(last.layers[-1]) is not BatchNorm or not last.ops.adds:
        return None
    conv = last.weighted
    assert isinstance(conv, Conv2D)
    ops = conv.ops.conv_block(conv.stride, conv.padding, True, None)
    if ops is None:
        return None
    last.sum = _Sum(layers[0], ops)
    return ResidualBlock(layers[0], layers[1], last.sum)


class Block:
    """A layer with weights and what follows it, run as one unit of a network, with the layers' own
    arrays. What is only needed within is not there to be looked at: a trace has None for it.
    """

    def __init__(self, weighted: WeightedLayer, layers: list[Layer], ops: BlockOps):
        self.weighted, self.layers, self.ops = weighted, layers, ops
        self.bn = next((layer for layer in layers if isinstance(layer, BatchNorm)), None)
        self.sum: _Sum | None = None  # where it can be the end of a residual block's branch
        self._ran = ops
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
        given, self._ran, added = (layer.W, layer.b, scale, shift, eps, stored), self.ops, None
        if self.sum is not None and self.sum.added is not None:
            self._ran, added = self.sum.ops, self.sum.added
            self.sum.check(layer, X)
        Y, mean, std = self._ran.forward(X, *given, added)
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
        dX, dW, db, dscale, dshift = self._ran.backward(
            X, dY, layer.W.shape, V, scale, mean, std, learns=learns
        )
        layer.dN = self._ran.dN
        layer.grads = {"W": dW} if layer.b is None else {"W": dW, "b": db}
        if bn is not None:
            bn.grads = {"scale": dscale, "shift": dshift} if learns else {}
        return layer.dX_from_afar() if need_dX and afar else dX

    def traces(
        self, X: Array | None, Y: Array | None, dY: Array | None, dX: Array | None
    ) -> list[Trace]:
        """Return its layers' traces: what they hand to each other is None."""
        if self._ran is not self.ops:  # Y and dY are the sum's, after its ReLU
            Y = dY = None
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


@dataclass
class _Sum:
    """What a block needs to end a residual block's branch.

    ops    the block's, with the ReLU after the sum
    added  the shortcut's output while the residual block runs as one
    """

    residual: Residual
    ops: BlockOps
    added: Array | None = None

    def check(self, conv: WeightedLayer, X: Array) -> None:
        """Raise InputError unless branch and shortcut have one shape: X goes into the last conv."""
        assert isinstance(conv, Conv2D)
        assert self.added is not None
        (H, W), (kh, kw) = X.shape[1:3], conv.W.shape[:2]
        size = output_size(H, W, (kh, kw), conv.stride, conv.padding)
        self.residual.check_shapes((len(X), *size, conv.W.shape[-1]), self.added.shape)


class ResidualBlock:
    """A residual block and its ReLU: Y = max(branch(X) + shortcut(X), 0). The branch's last block
    adds the shortcut's output and rectifies the sum, while N is in the cache.
    """

    def __init__(self, residual: Residual, relu: ReLU, sum: _Sum):
        self.residual, self.relu, self.sum = residual, relu, sum
        self.layers: list[Layer] = [residual, relu]
        self._Y: Array | None = None

    def forward(self, X: Array, *, train: bool) -> Array:
        """Return Y for X (B, H, W, C)."""
        self.sum.added = self.residual.shortcut.forward(X, train=train)
        try:
            Y = self.residual.branch.forward(X, train=train)
        finally:
            self.sum.added = None
        for layer in self.layers:
            layer.remember(False)
        self._Y = Y if train else None
        return Y

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        """Return dX, and set the gradients of the layers inside."""
        if self._Y is None:
            raise self.residual.no_forward()
        branch, shortcut, ops = self.residual.branch, self.residual.shortcut, self.relu.ops
        dX = branch.backward(dY, need_dX=need_dX)
        dX_shortcut = shortcut.backward(ops.relu_dN(self._Y, dY), need_dX=need_dX)
        return self.residual.ops.add_dX(dX, dX_shortcut) if need_dX else None

    def traces(
        self, X: Array | None, Y: Array | None, dY: Array | None, dX: Array | None
    ) -> list[Trace]:
        """Return the layers' traces; the sum itself is not there."""
        return [*self.residual.traces(X, None, None, dX), *self.relu.traces(None, Y, dY, None)]
