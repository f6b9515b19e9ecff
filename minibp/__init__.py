"""minibp: backpropagation with feedback weights that are not the forward weights."""

from minibp.device import get_device
from minibp.gradcheck import gradcheck
from minibp.losses import softmax_cross_entropy
from minibp.network import Network
from minibp.study.conditions import Condition
from minibp.study.networks import build_network
from minibp.study.recipe import build_optimizer
from minibp.study.settings import Settings
from minibp.study.trained import load

__version__ = "0.1.0"

__all__ = [
    "Condition",
    "Network",
    "Settings",
    "build_network",
    "build_optimizer",
    "get_device",
    "gradcheck",
    "load",
    "softmax_cross_entropy",
]
