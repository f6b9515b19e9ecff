"""What one training step sent through a layer."""

import textwrap
from dataclasses import dataclass
from typing import Any

from minibp.device import Array


@dataclass
class Trace:
    """One layer's part in a training step. Y is the layer's output: N of Eq. 1 for a weighted
    layer, whose f is the ReLU layer above it. What is not computed or not there is None.

    Printing it shows every array with its name and shape.
    """

    name: str
    X: Array | None
    Y: Array | None
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
