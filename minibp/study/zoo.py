"""Networks of the field, as functions of a Builder, for inputs of the data's own shape.

    python scripts/train.py --dataset cifar10 --network resnet-20 --condition frSF+BN

lenet-mnist             BioTorch's LeNet-5, with ReLU and max pooling; images of 28×28 are padded
lenet-cifar             BioTorch's: three 3×3 convolutions and 256 hidden units
resnet-20, resnet-56    He et al. (2016), Sec. 4.2, with 1×1 convolutions where a shortcut shrinks
mlp-500-300             hidden layers of these widths
"""

import re
from collections.abc import Callable
from functools import partial

from minibp.study.builder import Builder

Build = Callable[[Builder, int], None]


def lenet_mnist(net: Builder, classes: int) -> None:
    """5×5 convolutions of 6, 16 and 120 features; 84 hidden units, without a ReLU."""
    net.conv(5, 6, padding=2 if net.shape[:2] == (28, 28) else 0, pool=("max", 2, 2))
    net.conv(5, 16, pool=("max", 2, 2))
    net.conv(5, 120)
    net.fc(84, activation=None)
    net.output(classes)


def lenet_cifar(net: Builder, classes: int) -> None:
    """3×3 convolutions of 32, 64 and 128 features; 256 hidden units."""
    net.conv(3, 32, pool=("max", 2, 2))
    net.conv(3, 64, pool=("max", 2, 2))
    net.conv(3, 128, pool=("avg", 4, 4))
    net.fc(256)
    net.output(classes)


def resnet(net: Builder, classes: int, blocks: int) -> None:
    """Three stages of `blocks` residual blocks, of 16, 32 and 64 features; 6·blocks + 2 layers."""
    net.conv(3, 16, padding=1)
    for features in (16, 32, 64):
        for k in range(blocks):
            _residual(net, features, stride=2 if features > 16 and k == 0 else 1)
    net.global_avg_pool()
    net.output(classes)


def _residual(net: Builder, features: int, stride: int) -> None:
    def branch(net: Builder) -> None:
        net.conv(3, features, stride=stride, padding=1)
        net.conv(3, features, padding=1, activation=None)

    def shortcut(net: Builder) -> None:
        net.conv(1, features, stride=stride, activation=None)

    same = stride == 1 and net.shape[-1] == features
    net.residual(branch, None if same else shortcut)
    net.activation("relu")


def mlp(net: Builder, classes: int, widths: tuple[int, ...]) -> None:
    """Hidden layers of these widths."""
    for width in widths:
        net.fc(width)
    net.output(classes)


ZOO: dict[str, Build] = {
    "lenet-mnist": lenet_mnist,
    "lenet-cifar": lenet_cifar,
    "resnet-20": partial(resnet, blocks=3),
    "resnet-56": partial(resnet, blocks=9),
}
MLP = re.compile(r"mlp((-[1-9]\d*)+)")


def find(name: str) -> Build | None:
    """Return the function of a network's name; None if there is none.

    >>> find("mlp-500-300").keywords
    {'widths': (500, 300)}
    """
    if match := MLP.fullmatch(name):
        return partial(mlp, widths=tuple(map(int, match[1][1:].split("-"))))
    return ZOO.get(name)
