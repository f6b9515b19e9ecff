"""The layer contract: explicit forward and backward, a printable cache, gradients by name."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from minibp.device import Array, namespace
from minibp.errors import InputError
from minibp.layers.parameter import Parameter, Params
from minibp.layers.trace import Trace
from minibp.ops.contract import Ops
from minibp.ops.plain import PlainOps


class Layer:
    """One step of the network.

    `forward(X, train=…)` returns the output, and remembers in `cache` (a plain dict) what backward
    needs if it was a training forward. `backward(dY)` overwrites `grads` and returns dX. Arrays
    given to the constructor decide the device and the dtype; nothing is converted.

    A layer may hold layers: it returns them from `children`, and its own `params` and `grads` are
    without theirs. Asked for no dX, it asks for none from the first of them that learn.
    """

    param_names: tuple[str, ...] = ()
    ops: Ops = PlainOps()  # the tier that does the arithmetic; a Network sets its device's

    def __init__(self, name: str = ""):
        self.name = name or type(self).__name__.lower()
        self.path = self.name  # a Network sets it: "block1/conv2" for a layer inside of "block1"
        self.cache: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}

    def forward(self, X: Array, *, train: bool) -> Array:
        """Return the layer's output for X (B, …)."""
        raise NotImplementedError

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        """Return dX = ∂E/∂X from dY = ∂E/∂Y, or None if it is not needed; set `grads`."""
        raise NotImplementedError

    def children(self) -> Sequence["Layer"]:
        """Return the layers that this one holds, from its input up."""
        return ()

    @property
    def params(self) -> dict[str, Array]:
        """The arrays that learn, by name; those the layer does without are absent. To set one here
        is to assign the attribute."""
        pairs = ((name, getattr(self, name)) for name in self.param_names)
        return Params(self, {name: array for name, array in pairs if array is not None})

    def kinks(self) -> Array | None:
        """Return the decisions of the last training forward (which side of a kink each element is
        on), or None for a smooth layer. A gradient check holds only while they stay the same."""
        return None

    def remember(self, train: bool, **arrays: Array) -> None:
        """Keep the arrays for backward after a training forward; forget them after any other."""
        self.cache = arrays if train else {}

    def recall(self, *names: str) -> list:
        """Return remembered arrays; raise RuntimeError if no training forward came before."""
        if not self.cache:
            raise self.no_forward()
        return [self.cache[name] for name in names]

    def no_forward(self) -> RuntimeError:
        """Return the error of a backward before any training forward."""
        return RuntimeError(
            f"backward of layer {self.path!r} without a training forward: "
            "call forward(X, train=True) first."
        )

    def fuse(self, join: "Join") -> None:
        """Have the layers inside run as the units that `join` makes of layers in order."""
        for k, layer in enumerate(self.children()):
            layer.fuse(join.inside(layer, k))

    def traces(
        self, X: Array | None, Y: Array | None, dY: Array | None, dX: Array | None
    ) -> list[Trace]:
        """Return the trace of what went through this layer, and those of the layers inside."""
        W, V = (self.W, self.V) if isinstance(self, WeightedLayer) else (None, None)
        return [Trace(self.path, X, Y, dY, dX, W, V, self.grads), *self.inner_traces()]

    def inner_traces(self) -> list[Trace]:
        """Return the traces of the layers inside; what went through those is known to subclasses
        that keep it."""
        return [row for layer in self.children() for row in layer.traces(None, None, None, None)]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.params.items())
        return f"<{type(self).__name__} {self.name}{': ' if shapes else ''}{shapes}>"


class Joined(Protocol):
    """Layers that a tier runs as one unit of a network."""

    layers: list[Layer]

    def forward(self, X: Array, *, train: bool) -> Array: ...
    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None: ...
    def traces(
        self, X: Array | None, Y: Array | None, dY: Array | None, dX: Array | None
    ) -> list[Trace]: ...


Unit = Layer | Joined  # what runs one after the other


class Join(Protocol):
    """What makes units of a chain: of layers of which each is given what the one before gives."""

    def __call__(self, layers: list[Layer]) -> Sequence[Unit]: ...

    def inside(self, layer: Layer, place: object = "") -> "Join":
        """Return the one for chains inside of a layer of this one. Two layers whose errors are
        needed at one time have two places."""
        ...


class WeightedLayer(Layer):
    """A layer with forward weights W, feedback weights V and perhaps a bias b.

    V is W until something else is assigned; then it is used by the next backward. As long as it is
    W, it follows another W that is assigned.
    """

    param_names = ("W", "b")
    b = Parameter()
    V_shape: tuple[int, ...] | None = None  # (inputs, outputs) for errors from afar; None: W's
    dN: Array | None = None  # (B, J), of the last backward of a fully connected layer
    far: Array | None = None  # the error from afar of the backward at hand (B, outputs)

    def __init__(self, W: Array, b: Array | None = None, *, name: str = ""):
        super().__init__(name)
        namespace(W, b)
        if b is not None and (b.shape != W.shape[-1:] or b.dtype != W.dtype):
            raise InputError(
                f"layer {self.path!r}: b has shape {b.shape} and dtype {b.dtype}; "
                f"W {W.shape} expects {W.shape[-1:]} and {W.dtype}."
            )
        self._W, self.b = W, b
        self._V: Array | None = W
        self._W_moved = False  # since V was set

    @property
    def W(self) -> Array:
        """The forward weights. Another array takes their place only if it is of their shape, dtype
        and device. Assign one (`layer.W = …`, `layer.W *= …`): nobody sees what is written into
        the array itself, and a V that a rule made of it is then stale."""
        return self._W

    @W.setter
    def W(self, W: Array) -> None:
        self._check_like_W("W", W, self._W.shape)
        if self._V is self._W:
            self._V = W
        self._W = W
        self.moved()

    def moved(self) -> None:
        """Note that W has changed, so that a V of its own is stale until it is set."""
        self._W_moved = True

    @property
    def stale(self) -> bool:
        """Whether W has changed since V was set, and V is not W."""
        return self._W_moved and self._V is not None and self._V is not self._W

    @contextlib.contextmanager
    def with_W(self, W: Array) -> Iterator[None]:
        """Compute with other weights in W's place within the block, and leave V as it is."""
        kept, self._W = self._W, W
        try:
            yield
        finally:
            self._W = kept

    @contextlib.contextmanager
    def backpropagating(self) -> Iterator[None]:
        """Have V = W, and the layer's own error for Eq. 2, within the block."""
        V, shape, far = self.V, self.V_shape, self.far
        self.V_shape, self.far = None, None
        self.V = self.W
        try:
            yield
        finally:
            self.V_shape, self.far = shape, far
            self.V = V

    @property
    def V(self) -> Array:
        """The feedback weights: V_ij takes the error from output j back to input i."""
        if self._V is None:
            self._V = self._make_V(self.W)
        return self._V

    @V.setter
    def V(self, V: Array) -> None:
        self._check_like_W("V", V, self.V_shape or self._W.shape)
        self._V, self._W_moved = V, False

    def dX_from_afar(self) -> Array:
        """Return the dX (of X's shape) that `far`, the error of the whole network's outputs, gives
        in place of dN; V is then (inputs, outputs)."""
        (X,) = self.recall("X")
        return self.ops.linear_dX(self.far, self.V).reshape(X.shape)  # Eq. 2 from afar: dX = e Vᵀ

    # For rules whose V learns, with operations that return new arrays

    def N_of(self, ops: Ops, X: Array, A: Array) -> Array:
        """Return what weights A, of W's shape, make of inputs X."""
        raise NotImplementedError

    def back(self, ops: Ops, Y: Array, A: Array) -> Array:
        """Return what A sends back of Y, of the last X's shape."""
        raise NotImplementedError

    def hebb(self, ops: Ops, X: Array, Y: Array) -> Array:
        """Return Σ X Y over the batch and the positions, of W's shape."""
        raise NotImplementedError

    def defer_V(self, make: Callable[[Array], Array]) -> None:
        """Let V be make(W) when it is next asked for; a V that no backward uses costs nothing."""
        self._V, self._make_V, self._W_moved = None, make, False

    def _check_like_W(self, name: str, array: Array, shape: tuple[int, ...]) -> None:
        namespace(self._W, array)
        if array.shape != shape or array.dtype != self._W.dtype:
            whose = "W's: " if shape == self._W.shape else ""
            raise InputError(
                f"layer {self.path!r}: {name} has shape {array.shape} and dtype {array.dtype}, "
                f"expected {whose}{shape} and {self._W.dtype}."
            )

    def check_input(self, X: Array, expected: str) -> None:
        """Raise unless X has W's device and dtype, and as many features as W has inputs."""
        namespace(X, self.W)
        if X.ndim != self.W.ndim or X.shape[-1] != self.W.shape[-2]:
            raise InputError(f"layer {self.path!r} expects X {expected}, got {X.shape}.")
        if X.dtype != self.W.dtype:
            raise InputError(
                f"layer {self.path!r} computes in {self.W.dtype}, got X in {X.dtype}: "
                f"convert it with X.astype({str(self.W.dtype)!r})."
            )
