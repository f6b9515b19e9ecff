"""The plain tier: every operation that layers ask for, in array code for NumPy and CuPy alike.

It is the reference, and all that is needed. `minibp.ops.cpu` offers the same operations compiled.
"""

from minibp.ops.contract import Ops
from minibp.ops.plain.activation import relu, relu_dN, sigmoid, sigmoid_dN, tanh, tanh_dN
from minibp.ops.plain.add import add
from minibp.ops.plain.conv import conv2d, conv2d_dW, conv2d_dX
from minibp.ops.plain.cross_entropy import cross_entropy
from minibp.ops.plain.linear import linear, linear_dW, linear_dX
from minibp.ops.plain.norm import feature_sum, normalize, normalize_dX
from minibp.ops.plain.pool import avg_pool, avg_pool_dX, max_pool, max_pool_dX

__all__ = [
    "PlainOps",
    "add",
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
    "sigmoid",
    "sigmoid_dN",
    "tanh",
    "tanh_dN",
]


class PlainOps(Ops):
    """These functions as a tier. It has no state, so one object is as good as another."""

    linear, linear_dW, linear_dX = map(staticmethod, (linear, linear_dW, linear_dX))
    conv2d, conv2d_dW, conv2d_dX = map(staticmethod, (conv2d, conv2d_dW, conv2d_dX))
    max_pool, max_pool_dX = map(staticmethod, (max_pool, max_pool_dX))
    avg_pool, avg_pool_dX = map(staticmethod, (avg_pool, avg_pool_dX))
    relu, relu_dN, add = map(staticmethod, (relu, relu_dN, add))
    sigmoid, sigmoid_dN, tanh, tanh_dN = map(staticmethod, (sigmoid, sigmoid_dN, tanh, tanh_dN))
    normalize, normalize_dX = map(staticmethod, (normalize, normalize_dX))
    feature_sum, cross_entropy = map(staticmethod, (feature_sum, cross_entropy))
