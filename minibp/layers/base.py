"""The layer contract: explicit forward and backward, a printable cache, gradients by name."""

from collections.abc import Callable
from typing import Any

from minibp.device import Array, namespace
from minibp.errors import InputError
from minibp.ops import plain


class Layer:
    """One step of the network.

    `forward(X, train=…)` returns the output, and remembers in `cache` (a plain dict) what backward
    needs if it was a training forward. `backward(dY)` overwrites `grads` and returns dX. Arrays
    given to the constructor decide the device and the dtype; nothing is converted.
    """

    param_names: tuple[str, ...] = ()
    ops: Any = plain  # the tier that does the arithmetic; a Network sets its device's

    def __init__(self, name: str = ""):
        self.name = name or type(self).__name__.lower()
        self.cache: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}

    def forward(self, X: Array, *, train: bool) -> Array:
        """Return the layer's output for X (B, …)."""
        raise NotImplementedError

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        """Return dX = ∂E/∂X from dY = ∂E/∂Y, or None if it is not needed; set `grads`."""
        raise NotImplementedError

    @property
    def params(self) -> dict[str, Array]:
        """The arrays that learn, by name; those the layer does without are absent."""
        pairs = ((name, getattr(self, name)) for name in self.param_names)
        return {name: array for name, array in pairs if array is not None}

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
            raise RuntimeError(
                f"backward of layer {self.name!r} without a training forward: "
                "call forward(X, train=True) first."
            )
        return [self.cache[name] for name in names]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.params.items())
        return f"<{type(self).__name__} {self.name}{': ' if shapes else ''}{shapes}>"


class WeightedLayer(Layer):
    """A layer with forward weights W, feedback weights V and perhaps a bias b.

    V is W until something else is assigned; then it is used by the next backward.
    """

    param_names = ("W", "b")

    def __init__(self, W: Array, b: Array | None = None, *, name: str = ""):
        super().__init__(name)
        namespace(W, b)
        if b is not None and (b.shape != W.shape[-1:] or b.dtype != W.dtype):
            raise InputError(
                f"layer {self.name!r}: b has shape {b.shape} and dtype {b.dtype}; "
                f"W {W.shape} expects {W.shape[-1:]} and {W.dtype}."
            )
        self.W, self.b = W, b
        self._V: Array | None = W

    @property
    def V(self) -> Array:
        """The feedback weights: V_ij takes the error from output j back to input i."""
        if self._V is None:
            self._V = self._make_V(self.W)
        return self._V

    @V.setter
    def V(self, V: Array) -> None:
        namespace(self.W, V)
        if V.shape != self.W.shape or V.dtype != self.W.dtype:
            raise InputError(
                f"layer {self.name!r}: V has shape {V.shape} and dtype {V.dtype}, "
                f"expected W's: {self.W.shape} and {self.W.dtype}."
            )
        self._V = V

    def defer_V(self, make: Callable[[Array], Array]) -> None:
        """Let V be make(W) when it is next asked for; a V that no backward uses costs nothing."""
        self._V, self._make_V = None, make

    def check_input(self, X: Array, expected: str) -> None:
        """Raise unless X has W's device and dtype, and as many features as W has inputs."""
        namespace(X, self.W)
        if X.ndim != self.W.ndim or X.shape[-1] != self.W.shape[-2]:
            raise InputError(f"layer {self.name!r} expects X {expected}, got {X.shape}.")
        if X.dtype != self.W.dtype:
            raise InputError(
                f"layer {self.name!r} computes in {self.W.dtype}, got X in {X.dtype}: "
                f"convert it with X.astype({str(self.W.dtype)!r})."
            )
