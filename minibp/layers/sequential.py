"""Layers one after the other: a stage of a network, and a network's own body."""

from collections.abc import Sequence
from dataclasses import dataclass

from minibp.device import Array
from minibp.layers.base import Join, Layer, Unit
from minibp.layers.trace import Trace
from minibp.layers.tree import walk


class Sequential(Layer):
    """Each layer is given what the one before gives; Y is what the last gives, X if there is none.

    `units` is what runs: the layers, or, after `fuse`, blocks of them.
    """

    def __init__(self, layers: Sequence[Layer] | Layer, name: str = ""):
        super().__init__(name)
        self.layers = [layers] if isinstance(layers, Layer) else list(layers)
        self.units: list[Unit] = list(self.layers)
        self._passes: list[_Pass] = []

    def children(self) -> Sequence[Layer]:
        return self.layers

    def forward(self, X: Array, *, train: bool) -> Array:
        passes = []
        for unit in self.units:
            Y = unit.forward(X, train=train)
            passes.append(_Pass(unit, X, Y))
            X = Y
        self._passes = passes if train else []
        return X

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        """Without need_dX it stops at the first layer that learns, whose dX nobody needs."""
        if len(self._passes) < len(self.units):
            raise self.no_forward()
        first = 0 if need_dX else self._first()
        dX: Array | None = dY
        for k in reversed(range(first, len(self.units))):
            through = self._passes[k]
            through.dY = dX
            dX = through.dX = through.unit.backward(dX, need_dX=need_dX or k > first)
        return dX if need_dX else None

    def fuse(self, join: Join) -> None:
        for layer in self.layers:
            layer.fuse(join.inside(layer))
        self.units, self._passes = list(join(self.layers)), []

    def inner_traces(self) -> list[Trace]:
        if not self._passes:
            return super().inner_traces()
        stay = all(layer.ops.errors_stay for layer in self.layers)
        ends = [(p, p.dY if stay else None, p.dX if stay else None) for p in self._passes]
        return [row for p, dY, dX in ends for row in p.unit.traces(p.X, p.Y, dY, dX)]

    @property
    def traced(self) -> bool:
        """Whether a training forward and a backward have left something to trace."""
        return any(through.dY is not None for through in self._passes)

    def _first(self) -> int:
        """Return the place of the first unit in which something learns."""
        for k, unit in enumerate(self.units):
            if any(layer.params for _, layer in walk(members(unit))):
                return k
        return len(self.units)


@dataclass
class _Pass:
    """What went through a unit."""

    unit: Unit
    X: Array
    Y: Array
    dY: Array | None = None
    dX: Array | None = None


def members(unit: Unit) -> list[Layer]:
    """Return the layers of a unit: of a fused block all of its, of a layer itself."""
    return [unit] if isinstance(unit, Layer) else unit.layers
