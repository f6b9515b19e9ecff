"""Table 1: the paper's five architectures, one function a column."""

import math
from collections.abc import Callable

from minibp.checks import is_whole, plain
from minibp.device import Array, Device, check_dtype
from minibp.errors import InputError, unknown
from minibp.layers import AvgPool2D, BatchNorm, Conv2D, Flatten, Layer, Linear, MaxPool2D, ReLU
from minibp.network import Network
from minibp.ops.tiers import check_matmul
from minibp.ops.window import Padding, output_size
from minibp.rng import Streams
from minibp.study.conditions import Condition
from minibp.study.settings import Settings

NO_PADDING: Padding = (0, 0, 0, 0)


def image119(net: "Builder", classes: int) -> None:
    """All others."""
    net.conv(9, 48, stride=2, pool=("max", 2, 2))
    net.conv(5, 128, pool=("max", 2, 2))
    net.fc(max(256, classes * 3))
    net.fc(classes * 2)
    net.output(classes)


def mnist(net: "Builder", classes: int) -> None:
    """MNIST."""
    relu = net.settings.mnist_conv_relu
    net.conv(5, 20, pool=("max", 2, 2), relu=relu)
    net.conv(5, 50, pool=("max", 2, 2), relu=relu)
    net.fc(500)
    net.output(classes)


def cifar(net: "Builder", classes: int) -> None:
    """CIFAR10&100: 2 units of padding for convolutions, 1 at the right and bottom for pooling."""
    net.conv(5, 32, padding=(2, 2, 2, 2), pool=("max", 3, 2), pool_padding=(0, 1, 0, 1))
    net.conv(5, 64, padding=(2, 2, 2, 2), pool=("avg", 3, 2), pool_padding=(0, 1, 0, 1))
    net.conv(5, 64, padding=(2, 2, 2, 2), pool=("avg", 3, 2), pool_padding=(0, 1, 0, 1))
    net.fc(128)
    net.output(classes)


def svhn(net: "Builder", classes: int) -> None:
    """SVHN."""
    net.conv(5, 20, pool=("max", 2, 2))
    net.conv(7, 512, pool=("max", 2, 2))
    net.fc(40)
    net.output(classes)


def timit(net: "Builder", classes: int) -> None:
    """TIMIT-80."""
    net.fc(512)
    net.fc(256)
    net.output(classes)


NETWORKS: dict[str, tuple[Callable, tuple[int, ...]]] = {
    "mnist": (mnist, (28, 28, 1)),
    "cifar": (cifar, (32, 32, 3)),
    "svhn": (svhn, (32, 32, 3)),
    "image119": (image119, (119, 119, 3)),
    "timit": (timit, (1845,)),
}


def input_shape(network: str) -> tuple[int, ...]:
    """Return the shape of one input of a network: (H, W, C) or (I,)."""
    if network not in NETWORKS:
        raise unknown("network", network, NETWORKS)
    return NETWORKS[network][1]


def build_network(
    network: str,
    classes: int,
    condition: Condition,
    device: Device,
    seed: int = 0,
    dtype: str = "float32",
    settings: Settings | None = None,
) -> Network:
    """Return a network of Table 1 with random W, zero biases and the condition's V.

    network  "mnist", "cifar", "svhn", "image119" or "timit"
    classes  number of outputs, 2 or more
    dtype    "float32" to train, "float64" to check

    >>> from minibp import get_device
    >>> net = build_network("mnist", 10, Condition.parse("frSF+BN"), get_device("cpu"))
    >>> [layer.name for layer in net.layers][:5]
    ['conv1', 'bn1', 'relu1', 'pool1', 'conv2']
    """
    shape = input_shape(network)
    classes = plain(classes)
    if not is_whole(classes) or classes < 2:
        raise InputError(f"classes={classes!r}: expected an integer of 2 or more.")
    settings = settings or Settings()
    check_matmul(device, settings.matmul, dtype)
    streams = Streams(seed, device, check_dtype(dtype))
    net = Builder(network, shape, condition, streams, settings)
    NETWORKS[network][0](net, classes)
    last = net.layers[-1].name
    return Network(
        net.layers,
        rule=condition.rule(settings.sigma),
        streams=streams,
        condition=condition,
        device=device,
        input_shape=shape,
        symmetric=(last,) if settings.feedback_layers == "all but last" else (),
        matmul=settings.matmul,
    )


class Builder:
    """Adds blocks to a list of layers and keeps count of the shapes, so that the functions of
    Table 1 read like the table."""

    def __init__(
        self,
        network: str,
        shape: tuple[int, ...],
        condition: Condition,
        streams: Streams,
        settings: Settings,
    ):
        self.network, self.shape = network, shape
        self.condition, self.streams, self.settings = condition, streams, settings
        self.layers: list[Layer] = []
        self.weighted = 0

    def conv(
        self,
        size: int,
        features: int,
        *,
        stride: int = 1,
        padding: Padding = NO_PADDING,
        pool: tuple[str, int, int],
        pool_padding: Padding = NO_PADDING,
        relu: bool = True,
    ) -> None:
        """Add a block conv → BN → ReLU → pool."""
        self.weighted += 1
        n = self.weighted
        W, b = self._weights(f"conv{n}", (size, size, self.shape[2], features), hidden=True)
        self.layers.append(Conv2D(W, b, stride=stride, padding=padding, name=f"conv{n}"))
        self._slide((size, size), stride, padding, features)
        self._batch_norm(f"bn{n}", features)
        kind, window, pool_stride = pool
        layer = {"max": MaxPool2D, "avg": AvgPool2D}[kind]
        pooling = layer((window, window), pool_stride, padding=pool_padding, name=f"pool{n}")
        rest = [*([ReLU(name=f"relu{n}")] if relu else []), pooling]
        self.layers += rest if self.settings.block_order == "conv-relu-pool" else rest[::-1]
        self._slide((window, window), pool_stride, pool_padding, features)

    def fc(self, features: int) -> None:
        """Add a hidden block FC → BN → ReLU."""
        n = self._linear(features, hidden=True)
        self._batch_norm(f"bn{n}", features)
        self.layers.append(ReLU(name=f"relu{n}"))

    def output(self, classes: int) -> None:
        """Add the last layer, without BN and ReLU."""
        self._linear(classes, hidden=False)

    def _linear(self, features: int, hidden: bool) -> int:
        if len(self.shape) == 3:
            self.layers.append(Flatten(name="flatten"))
            self.shape = (math.prod(self.shape),)
        self.weighted += 1
        name = f"fc{self.weighted}"
        W, b = self._weights(name, (self.shape[0], features), hidden)
        self.layers.append(Linear(W, b, name=name))
        self.shape = (features,)
        return self.weighted

    def _slide(self, window, stride: int, padding: Padding, features: int) -> None:
        self.shape = (*output_size(*self.shape[:2], window, stride, padding), features)

    def _batch_norm(self, name: str, features: int) -> None:
        if not self.condition.bn:
            return
        scale, shift = None, None
        if self.condition.learns_bn:
            scale, shift = self._constant(features, 1), self._constant(features, 0)
        self.layers.append(
            BatchNorm(features, scale=scale, shift=shift, eps=self.settings.bn_eps, name=name)
        )

    def _weights(self, name: str, shape: tuple[int, ...], hidden: bool):
        """Return W ~ N(0, σ²), and b = 0 or None: BN takes a bias out again, so that its gradient
        is rounding noise, which BM would turn into full steps."""
        W = self.streams[f"init/{name}"].at(0).normal(shape, self._sigma(shape))
        biased = self.settings.bias_before_bn or not (hidden and self.condition.bn)
        return W, self._constant(shape[-1], 0) if biased else None

    def _sigma(self, shape: tuple[int, ...]) -> float:
        if self.settings.init == "he":
            return math.sqrt(2 / math.prod(shape[:-1]))
        if self.settings.init == "paper":
            return 0.05 if self.network == "cifar" and self.weighted > 1 else 0.01
        return float(self.settings.init)

    def _constant(self, features: int, value: float) -> Array:
        return self.streams.device.asarray([value] * features, self.streams.dtype)
