"""The plain tier: every operation that layers ask for, in array code for NumPy and CuPy alike.

It is the reference, and all that is needed. `minibp.ops.cpu` offers the same operations compiled.
"""

import importlib
import sys
from types import ModuleType

from minibp.ops.plain.activation import relu, relu_dN
from minibp.ops.plain.conv import conv2d, conv2d_dW, conv2d_dX
from minibp.ops.plain.cross_entropy import cross_entropy
from minibp.ops.plain.linear import linear, linear_dW, linear_dX
from minibp.ops.plain.norm import feature_sum, normalize, normalize_dX
from minibp.ops.plain.pool import avg_pool, avg_pool_dX, max_pool, max_pool_dX

__all__ = [
    "avg_pool",
    "avg_pool_dX",
    "conv2d",
    "conv2d_dW",
    "conv2d_dX",
    "cross_entropy",
    "feature_sum",
    "linear",
    "linear_dW",
    "linear_dX",
    "max_pool",
    "max_pool_dX",
    "normalize",
    "normalize_dX",
    "relu",
    "relu_dN",
]


class _Ops(ModuleType):
    """A module that copy and pickle can take along: it is the same one everywhere, by its name."""

    def __reduce__(self) -> tuple:
        return importlib.import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Ops
