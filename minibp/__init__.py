"""minibp: backpropagation with feedback weights that are not the forward weights."""

from minibp.device import get_device
from minibp.feedback import FeedbackRule
from minibp.gradcheck import gradcheck
from minibp.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Flatten,
    GlobalAvgPool,
    Layer,
    Linear,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
    WeightedLayer,
)
from minibp.losses import softmax_cross_entropy
from minibp.network import Network
from minibp.study.conditions import Condition
from minibp.study.networks import build_network
from minibp.study.recipe import PaperRecipe, build_optimizer
from minibp.study.settings import Settings
from minibp.study.trained import load
from minibp.training.data import Data
from minibp.training.recipe import Recipe
from minibp.training.run import Run, train_step

__version__ = "0.1.0"

__all__ = [
    "AvgPool2D",
    "BatchNorm",
    "Condition",
    "Conv2D",
    "Data",
    "FeedbackRule",
    "Flatten",
    "GlobalAvgPool",
    "Layer",
    "Linear",
    "MaxPool2D",
    "Network",
    "PaperRecipe",
    "ReLU",
    "Recipe",
    "Residual",
    "Run",
    "Sequential",
    "Settings",
    "Sigmoid",
    "Tanh",
    "WeightedLayer",
    "build_network",
    "build_optimizer",
    "get_device",
    "gradcheck",
    "load",
    "softmax_cross_entropy",
    "train_step",
]
