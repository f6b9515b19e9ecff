"""One layer a file; each holds its arrays, and has explicit forward and backward methods."""

from minibp.layers.avg_pool2d import AvgPool2D
from minibp.layers.base import Layer, WeightedLayer
from minibp.layers.batch_norm import BatchNorm
from minibp.layers.conv2d import Conv2D
from minibp.layers.flatten import Flatten
from minibp.layers.global_avg_pool import GlobalAvgPool
from minibp.layers.linear import Linear
from minibp.layers.max_pool2d import MaxPool2D
from minibp.layers.relu import ReLU
from minibp.layers.residual import Residual
from minibp.layers.sequential import Sequential
from minibp.layers.sigmoid import Sigmoid
from minibp.layers.tanh import Tanh

__all__ = [
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Flatten",
    "GlobalAvgPool",
    "Layer",
    "Linear",
    "MaxPool2D",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "WeightedLayer",
]
