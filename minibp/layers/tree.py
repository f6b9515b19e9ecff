"""Layers hold layers: one walk finds them all, and one check refuses what it would miss."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from minibp.errors import InputError
from minibp.layers.base import Layer


def walk(layers: Iterable[Layer], above: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield (path, layer) for every layer, each before those that it holds.

    >>> from minibp.layers import ReLU, Sequential
    >>> [path for path, _ in walk([Sequential([ReLU(name="relu1")], name="block1")])]
    ['block1', 'block1/relu1']
    """
    for layer in layers:
        path = above + layer.name
        yield path, layer
        yield from walk(layer.children(), f"{path}/")


def check_tree(layers: Sequence[Layer]) -> None:
    """Raise InputError unless each layer has a path of its own, and each parameter one owner.

    A layer's parameters may be its own or those of its `children()`. No rule, optimizer or
    checkpoint would find any others: under every condition their V would stay W.
    """
    seen: set[Layer] = set()
    _check_siblings("", layers, seen)
    for path, layer in walk(layers):
        hidden = [found for found in _held(layer, set()) if found.params and found not in seen]
        if hidden:
            raise InputError(
                f"layer {path!r} holds layers with parameters: {', '.join(map(repr, hidden))}, "
                "which its children() does not give. The rule, the optimizer and checkpoints "
                "would not find them: return them from children()."
            )


def _check_siblings(above: str, layers: Sequence[Layer], seen: set[Layer]) -> None:
    """Raise InputError for names that make no path, and for a layer that was seen before."""
    where = f" in layer {above!r}" if above else ""
    for layer in layers:
        if not isinstance(layer, Layer):
            raise InputError(f"expected layers{where}, got {layer!r}.")
        if layer in seen:
            raise InputError(
                f"layer {layer.name!r} is used twice: the second forward would overwrite what the "
                "first remembers. Expected a layer of its own for each place."
            )
        seen.add(layer)
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        raise InputError(f"layers need distinct names, got {', '.join(names)}{where}.")
    for layer in layers:
        if "/" in layer.name:
            raise InputError(f"layer {layer.name!r}: a name has no '/', which paths are made with.")
        children = layer.children()
        path = f"{above}/{layer.name}".lstrip("/")
        _check_siblings(path, children, seen)
        _check_own(path, layer)


def _check_own(path: str, layer: Layer) -> None:
    """Raise InputError if parameters of a layer are also those of a layer inside, or named so."""
    for inner_path, inner in walk(layer.children(), f"{path}/"):
        for name, array in layer.params.items():
            if any(array is other for other in inner.params.values()):
                raise InputError(
                    f"layer {path!r} gives {name!r} as its own parameter, which is that of layer "
                    f"{inner_path!r}: it would learn twice. Expected params without it; "
                    "children() is enough."
                )
            if inner_path == f"{path}/{name}":
                raise InputError(
                    f"layer {path!r} has a parameter and a layer named {name!r}: expected "
                    "distinct names."
                )


def _held(value: Any, seen: set[int]) -> Iterator[Layer]:
    """Yield the layers in a layer's attributes, and in lists, tuples and dicts, at any depth."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inside: Iterable[Any] = ()
    if isinstance(value, Layer):
        inside = vars(value).values()
    elif isinstance(value, list | tuple | dict):
        inside = value.values() if isinstance(value, dict) else value
    for item in inside:
        if isinstance(item, Layer):
            yield item
        yield from _held(item, seen)
