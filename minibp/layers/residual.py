"""The residual block: what a branch adds to its input."""

from collections.abc import Sequence

from minibp.device import Array
from minibp.errors import InputError
from minibp.layers.base import Join, Layer
from minibp.layers.sequential import Sequential
from minibp.layers.trace import Trace


class Residual(Layer):
    """Y = branch(X) + shortcut(X). Both are layers in order; an empty shortcut is the identity.

    The error goes back through both: dX = branch's dX + shortcut's dX, each by its own V.

    Raises InputError, in a forward, if branch(X) and shortcut(X) differ in shape.
    """

    def __init__(
        self,
        branch: Sequence[Layer] | Layer,
        shortcut: Sequence[Layer] | Layer = (),
        name: str = "",
    ):
        super().__init__(name)
        self.branch, self.shortcut = Sequential(branch, "branch"), Sequential(shortcut, "shortcut")

    def children(self) -> Sequence[Layer]:
        return [*self.branch.layers, *self.shortcut.layers]

    def forward(self, X: Array, *, train: bool) -> Array:
        F, S = self.branch.forward(X, train=train), self.shortcut.forward(X, train=train)
        self.check_shapes(F.shape, S.shape)
        self.remember(train, shape=F.shape)
        return self.ops.add(F, S)

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        self.recall("shape")
        dX = self.branch.backward(dY, need_dX=need_dX)
        dX_shortcut = self.shortcut.backward(dY, need_dX=need_dX)
        return self.ops.add_dX(dX, dX_shortcut) if need_dX else None

    def check_shapes(self, branch: tuple[int, ...], shortcut: tuple[int, ...]) -> None:
        """Raise InputError unless the shapes of both outputs are the same."""
        if branch != shortcut:
            raise InputError(
                f"layer {self.path!r}: the branch gives {branch}, the shortcut {shortcut}: "
                "expected one shape. Where the branch changes it, give a shortcut that does, too, "
                "such as a 1x1 convolution of the same stride."
            )

    def fuse(self, join: Join) -> None:
        self.branch.fuse(join.inside(self.branch, "branch"))
        self.shortcut.fuse(join.inside(self.shortcut, "shortcut"))

    def inner_traces(self) -> list[Trace]:
        return self.branch.inner_traces() + self.shortcut.inner_traces()
