"""What a step sent through a layer, printed."""

import numpy as np

from minibp.layers.trace import Trace


def test_every_array_is_printed_with_its_name_and_shape():
    X, W = np.ones((1, 2)), np.zeros((2, 3))
    text = str(Trace("fc1", X, None, None, None, W, W, {"W": W + 5, "b": np.arange(3)}))
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "fc1"
    named = [line for line in lines if "(" in line]
    assert named == ["X (1, 2)", "W (2, 3)", "V (2, 3)", "dW (2, 3)", "db (3,)"]
    assert "[[5. 5. 5.]" in text
