"""Layers that hold layers: paths, and what no path would find."""

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.layers import Linear, ReLU, Sequential
from minibp.layers.base import Layer
from minibp.layers.tree import check_tree, walk


def fc(name):
    return Linear(np.eye(2), name=name)


def test_each_layer_comes_before_those_that_it_holds():
    inner = Sequential([fc("a"), ReLU(name="b")], name="inner")
    layers = [fc("first"), Sequential([inner, fc("last")], name="outer")]
    paths = [path for path, _ in walk(layers)]
    assert paths == [
        "first",
        "outer",
        "outer/inner",
        "outer/inner/a",
        "outer/inner/b",
        "outer/last",
    ]
    check_tree(layers)


class Hiding(Layer):
    def __init__(self, inner):
        super().__init__("hiding")
        self.parts = {"deep": [inner]}


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        (lambda: [fc("a"), fc("a")], "distinct names, got a, a"),
        (lambda: [Sequential([fc("a"), fc("a")], name="s")], "distinct names.* in layer 's'"),
        (lambda: 2 * [fc("a")], "used twice"),
        (lambda: [fc("a/b")], "a name has no '/'"),
        (lambda: ["fc"], "expected layers, got 'fc'"),
        (lambda: [Hiding(fc("inner"))], "holds layers with parameters: .*children"),
    ],
)
def test_what_no_path_would_find_is_refused(layers, match):
    with pytest.raises(InputError, match=match):
        check_tree(layers())
