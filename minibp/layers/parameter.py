"""An array of a layer that learns: what may take its place."""

from typing import Any

from minibp.device import Array, namespace
from minibp.errors import InputError


class Parameter:
    """An attribute for b, scale or shift, which a layer may do without (None).

    Raises InputError, once it is set, for anything that has not its shape, dtype and device: the
    compiled kernels would read beyond its end.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type) -> Any:
        return self if layer is None else vars(layer)[self.name]

    def __set__(self, layer: Any, array: Array | None) -> None:
        before = vars(layer).get(self.name, array)
        if before is None or array is None:
            if before is not array:
                raise InputError(
                    f"layer {layer.path!r}: {self.name} was {_words(before)}, now {_words(array)}: "
                    "make a new layer."
                )
        else:
            namespace(before, array)
            if array.shape != before.shape or array.dtype != before.dtype:
                raise InputError(
                    f"layer {layer.path!r}: {self.name} has shape {array.shape} and dtype "
                    f"{array.dtype}, expected {before.shape} and {before.dtype}."
                )
        vars(layer)[self.name] = array


def _words(array: Array | None) -> str:
    return "no array" if array is None else f"an array of shape {array.shape}"


class Params(dict):
    """A layer's parameters by name. `params["W"] = …` is `layer.W = …`."""

    def __init__(self, layer: Any, arrays: dict[str, Array]):
        super().__init__(arrays)
        self._layer = layer

    def __setitem__(self, name: str, array: Array) -> None:
        if name not in self:
            raise KeyError(f"layer {self._layer.path!r} has no parameter {name!r}.")
        setattr(self._layer, name, array)
        super().__setitem__(name, array)
