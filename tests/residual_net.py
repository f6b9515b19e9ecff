"""A small network of residual blocks, drawn by hand, and a recipe for runs of it."""

from dataclasses import dataclass

import numpy as np

from minibp import Condition, Network
from minibp.layers import BatchNorm, Conv2D, GlobalAvgPool, Linear, MaxPool2D, ReLU, Residual
from minibp.optim import Optimizer, Slot
from minibp.rng import Streams
from minibp.training.recipe import Recipe


class Builder:
    """Draws the weights of a network, by He's rule; learns: whether BN has scale and shift."""

    def __init__(self, device, dtype="float64", learns=False):
        self.rng, self.device = np.random.default_rng(0), device
        self.dtype, self.learns = dtype, learns

    def W(self, *shape):
        fan_in = np.prod(shape[:-1])
        return self.device.asarray(self.rng.normal(size=shape) * (2 / fan_in) ** 0.5, self.dtype)

    def conv(self, name, size, C, J, stride=1):
        padding = (size // 2,) * 4
        return Conv2D(self.W(size, size, C, J), stride=stride, padding=padding, name=name)

    def bn(self, name, J):
        arrays = {"scale": self.W(J) + 1, "shift": self.W(J)} if self.learns else {}
        return BatchNorm(J, name=name, **arrays)

    def block(self, name, C, J, stride, pool=False):
        """conv → BN → ReLU → conv → BN beside the identity, or beside a strided 1×1 → BN."""
        branch = [self.conv("conv1", 3, C, J, stride), self.bn("bn1", J), ReLU(name="relu1")]
        if pool:
            branch.append(MaxPool2D((2, 2), 1, padding=(0, 1, 0, 1), name="pool1"))
        branch += [self.conv("conv2", 3, J, J), self.bn("bn2", J)]
        same = C == J and stride == 1
        shortcut = [] if same else [self.conv("conv", 1, C, J, stride), self.bn("bn", J)]
        return [Residual(branch, shortcut, name=name), ReLU(name=f"{name}-relu")]


def resnet(
    device, head="SGD", shape=(6, 6, 2), classes=4, widths=(16, 32, 64), blocks=3, pool=False,
    learns=False, dtype="float64",
):  # fmt: skip
    """Return a ResNet of stages of `blocks` blocks: ResNet-20 has three of three."""
    make = Builder(device, dtype, learns)
    C = widths[0]
    layers = [make.conv("conv", 3, shape[2], C), BatchNorm(C, name="bn"), ReLU(name="relu")]
    for stage, J in enumerate(widths):
        for k in range(blocks):
            stride = 2 if stage and not k else 1
            layers += make.block(f"block{stage + 1}-{k + 1}", C, J, stride, pool)
            C = J
    layers += [GlobalAvgPool(name="mean"), Linear(make.W(C, classes), name="fc")]
    rule, streams = Condition.parse(head).rule(), Streams(0, device, dtype)
    return Network(layers, rule=rule, streams=streams, device=device, input_shape=shape)


def small(device, head="SGD", pool=True, **options):
    return resnet(device, head, widths=(3, 4), blocks=2, learns=True, pool=pool, **options)


def optimizer_of(net, rate=0.05):
    slots = [Slot(la, name, decay=1e-3) for _, la in net.walk() for name in la.params]
    return Optimizer(slots, rate, momentum=0.9)


@dataclass(frozen=True, kw_only=True)
class SmallRecipe(Recipe):
    """head  the rule, as a condition's name says it"""

    head: str = "SGD"

    def network(self, device, shape, classes):
        return small(device, self.head, shape=shape, classes=classes, dtype=self.dtype)

    def optimizer(self, network):
        return optimizer_of(network, self.rate)
