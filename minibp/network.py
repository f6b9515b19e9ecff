"""A network: layers in order, and the feedback rule that joins each W to its V."""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from minibp import guard
from minibp.device import Array, Device, get_device
from minibp.errors import InputError
from minibp.feedback import FeedbackRule, check_attributes
from minibp.fused import Block, fused_units
from minibp.layers import BatchNorm, Layer, WeightedLayer
from minibp.ops.tiers import ops_for
from minibp.rng import Stream, Streams


class Network:
    """Layers applied one after the other.

    layers       Layer objects with distinct names
    rule         how V follows from W; None leaves every V as it is, and that is W at first
    streams      the random numbers that the rule draws from, by layer and step
    input_shape  shape of one input, such as (28, 28, 1), if inputs are to be checked
    condition    how it learns, for `repr`
    symmetric    names of layers that keep V = W whatever the rule
    matmul       "float32", or "tf32": see minibp.study.settings

    Raises InputError for layers of one name, a layer that holds others with parameters, and a rule
    that is not pure, or whose first V is no array of W's shape, or not finite.
    """

    def __init__(
        self,
        layers: list[Layer],
        *,
        rule: FeedbackRule | None = None,
        streams: Streams | None = None,
        condition: object = "",
        device: Device | None = None,
        input_shape: tuple[int, ...] | None = None,
        symmetric: tuple[str, ...] = (),
        matmul: str = "float32",
    ):
        names = [layer.name for layer in layers]
        if len(set(names)) < len(names):
            raise InputError(f"layers need distinct names, got {', '.join(names)}.")
        for layer in layers:
            _check_flat(layer)
        self.layers = layers
        self.units: list[Layer | Block] = list(layers)  # what runs one after the other: see `fuse`
        self.fused = False
        self.weighted = [layer for layer in layers if isinstance(layer, WeightedLayer)]
        self.rule = rule
        self.streams = streams or Streams(seed=0)
        self.condition = condition
        self.device = device or get_device("cpu", kernels="plain")
        self.ops = ops_for(self.device, matmul)
        for layer in layers:
            layer.ops = self.ops
        self.input_shape = input_shape
        self.symmetric = symmetric
        self.updates = 0  # of W so far: the step of the feedback streams
        self.drawn: dict[str, dict[str, Array]] = {}  # M, S by layer
        self.made_V: dict[str, Array] = {}  # what the rule made, whatever V is by hand
        self._outputs: list[Array] = []
        self._errors: list[Array | None] = []
        if rule is not None:
            check_attributes(rule)
            self._draw()
            self.apply_rule()
            weights = {layer.name: layer.W for layer in self.weighted}
            for name, V in self.made_V.items():
                guard.check_start(rule, name, weights[name], V, self._stream(name))

    def forward(self, X: Array, *, train: bool) -> Array:
        """Return the outputs N (B, classes) for X (B, …); a training forward prepares backward.

        Raises RuntimeError, of a training forward, if an update of W has left a V behind.
        """
        if self.input_shape is not None and X.shape[1:] != self.input_shape:
            expected = ", ".join(["B", *map(str, self.input_shape)])
            raise InputError(f"the network expects X ({expected}), got {X.shape}.")
        if train:
            self._check_feedback()
        outputs = [X]
        for unit in self.units:
            outputs.append(unit.forward(outputs[-1], train=train))
        self._outputs, self._errors = outputs if train else [], []
        return outputs[-1] if train or not self.fused else outputs[-1].copy()

    def backward(self, dN: Array) -> None:
        """Send dN = ∂E/∂N down through every V; sets each layer's `grads`.

        It stops at the first weighted layer, whose dX nobody needs.
        """
        errors: list[Array | None] = [dN]
        first = [self.weighted[0] in members(unit) for unit in self.units].index(True)
        for unit in reversed(self.units[first:]):
            errors.append(unit.backward(errors[-1], need_dX=unit is not self.units[first]))
        self._errors = [None] * first + errors[::-1]

    def fuse(self) -> None:
        """Let a compiled tier run layers as one where it can; on the plain one it changes nothing.

        For training: faster, and with less memory. What the fused layers hand to each other is then
        None in a trace, and on a CPU arrays of one step are overwritten in the next.
        """
        if self.fused or not self.ops.compiled:
            return
        self.units = fused_units(self.layers, self.ops)
        self.fused = True

    def refresh_feedback(self) -> None:
        """Set every V from its W by the rule; to be called after each update of W (Sec. 2)."""
        self.updates += 1
        if self.rule is not None and self.rule.redraw == "batch":
            self._draw()
        self.apply_rule()

    def apply_rule(self) -> None:
        """Set every V from its W and what was drawn for it."""
        if self.rule is None:
            return
        for layer in self.weighted:
            if layer.name not in self.symmetric:
                drawn = self.drawn[layer.name]
                layer.V = guard.make_V(self.rule, layer.name, layer.W, drawn)
                self.made_V[layer.name] = layer.V

    def trace(self) -> list["Trace"]:
        """Return what went through each layer in the last training forward and backward."""
        if not (self._outputs and self._errors):
            raise RuntimeError("nothing to trace: run forward(X, train=True) and backward(dN).")
        through = zip(
            self._outputs, self._outputs[1:], self._errors, self._errors[1:], strict=False
        )
        rows = []
        for unit, (X, Y, dX, dY) in zip(self.units, through, strict=True):
            inside = [None] * (len(members(unit)) - 1)
            ends = zip([X, *inside], [*inside, Y], [*inside, dY], [dX, *inside], strict=True)
            for layer, row in zip(members(unit), ends, strict=True):
                rows.append(Trace(layer.name, *row, *_weights(layer), layer.grads))
        return rows

    def batch_norms(self) -> list[BatchNorm]:
        """Return the Batch Normalization layers, from the input up."""
        return [layer for layer in self.layers if isinstance(layer, BatchNorm)]

    def _draw(self) -> None:
        if self.rule is None:
            return
        for layer in self.weighted:
            if layer.name in self.symmetric:
                continue
            rng = self._stream(layer.name).at(self.updates)
            self.drawn[layer.name] = guard.draw(self.rule, layer.name, layer.W.shape, rng)

    def _stream(self, layer: str) -> Stream:
        return self.streams[f"feedback/{layer}"]

    def _check_feedback(self) -> None:
        """Raise RuntimeError if W moved and V, which the rule makes of it, did not follow."""
        stale = [layer.name for layer in self.weighted if layer.stale]
        if self.rule is not None and stale:
            raise RuntimeError(
                f"W changed in {', '.join(stale)}, but V is still that of the W before: call "
                "network.refresh_feedback() after optimizer.step(), or apply_rule() after weights "
                "by hand."
            )

    def __repr__(self) -> str:
        rows = "\n".join(f"  {layer!r}" for layer in self.layers)
        return f"<Network {self.condition}\n{rows}>"


def _check_flat(layer: Layer) -> None:
    """Raise InputError for a layer whose parameters are inside of other layers.

    No rule would reach the V in there: it would stay W, whatever the condition says.
    """
    inner = [found for found in _held(vars(layer).values()) if found.params]
    if inner:
        raise InputError(
            f"layer {layer.name!r} holds layers with parameters: {', '.join(map(repr, inner))}. "
            "The rule, the optimizer and checkpoints would not find them. Expected layers without "
            "such layers inside."
        )


def _held(values: Iterable[Any]) -> Iterator[Layer]:
    """Yield the layers among some values, and in lists, tuples and dicts of them, at any depth."""
    for value in values:
        if isinstance(value, Layer):
            yield value
            yield from _held(vars(value).values())
        elif isinstance(value, list | tuple | dict):
            yield from _held(value.values() if isinstance(value, dict) else value)


def members(unit: Layer | Block) -> list[Layer]:
    """Return the layers of a unit: of a fused block all of its, of a layer itself."""
    return [unit] if isinstance(unit, Layer) else unit.layers


def _weights(layer: Layer) -> tuple[Array | None, Array | None]:
    return (layer.W, layer.V) if isinstance(layer, WeightedLayer) else (None, None)


@dataclass
class Trace:
    """One layer's part in a training step. Y is the layer's output: N of Eq. 1 for a weighted
    layer, whose f is the ReLU layer above it. What is not computed or not there is None.

    Printing it shows every array with its name and shape.
    """

    name: str
    X: Array
    Y: Array
    dY: Array | None
    dX: Array | None
    W: Array | None
    V: Array | None
    grads: dict[str, Any]

    def __str__(self) -> str:
        arrays = [(name, getattr(self, name)) for name in ("X", "W", "V", "Y", "dY", "dX")]
        arrays += [(f"d{name}", gradient) for name, gradient in self.grads.items()]
        rows = [self.name]
        for name, array in arrays:
            if array is not None:
                rows.append(textwrap.indent(f"{name} {array.shape}\n{array}", "  "))
        return "\n".join(rows)
