"""What a network's function adds blocks to: it makes the arrays, and keeps count of the shapes."""

import contextlib
import math
from collections.abc import Callable, Iterator

from minibp.device import Array
from minibp.errors import InputError, unknown
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
    Sigmoid,
    Tanh,
)
from minibp.ops.window import Padding, output_size
from minibp.rng import Streams
from minibp.study.conditions import Condition
from minibp.study.settings import Settings, check_init

NO_PADDING: Padding = (0, 0, 0, 0)
ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}
POOLS = {"max": MaxPool2D, "avg": AvgPool2D}


class Builder:
    """Blocks of layers, one after the other, with the condition's BN and the settings' weights.

    A network is a function of it and the number of classes, as those of Table 1:

        def small(net, classes):
            net.conv(3, 16, padding=1, pool=("max", 2, 2))
            net.fc(64)
            net.output(classes)

    shape  of what the next layer takes, without the batch: (H, W, C) or (I,)

    Every method raises InputError for what does not fit, with the layer's name and the shapes.
    """

    def __init__(
        self, shape: tuple[int, ...], condition: Condition, streams: Streams, settings: Settings
    ):
        self.shape, self.condition, self.streams = shape, condition, streams
        self.settings = settings
        self.layers: list[Layer] = []
        self.weighted = 0  # layers with weights so far, which number the names
        self.within = ""  # the path of the block that is being built

    def conv(
        self,
        size: int,
        features: int,
        *,
        stride: int = 1,
        padding: Padding | int = 0,
        pool: tuple[str, int, int] | None = None,
        pool_padding: Padding | int = 0,
        activation: str | None = "relu",
        init: str | float | None = None,
    ) -> None:
        """Add a block conv → BN → activation → pool.

        size        of the kernel, size × size
        padding     (top, bottom, left, right), or one number for all four
        pool        ("max" or "avg", size of the window, stride), or None for no pooling
        activation  "relu", "sigmoid", "tanh" or None
        init        of W: "paper", "he", "xavier" or a standard deviation; None: the settings' own
        """
        n, padding = self.weighted + 1, _sides(padding)
        name = f"conv{n}"
        if len(self.shape) != 3:
            raise InputError(f"layer {name!r}: a convolution of inputs of shape {self.shape}.")
        W, b = self._weights(name, (size, size, self.shape[2], features), True, init)
        self.layers.append(Conv2D(W, b, stride=stride, padding=padding, name=name))
        self._slide(name, size, stride, padding, features)
        self._batch_norm(f"bn{n}", features)
        active = self._activation(activation, n)
        if pool is None:
            self.layers += active
            return
        kind, window, pool_stride = pool
        if kind not in POOLS:
            raise unknown("pool", kind, POOLS)
        pool_padding = _sides(pool_padding)
        given = {"padding": pool_padding, "name": f"pool{n}"}
        pooling: list[Layer] = [POOLS[kind]((window, window), pool_stride, **given)]
        first = self.settings.block_order == "conv-relu-pool"
        self.layers += active + pooling if first else pooling + active
        self._slide(f"pool{n}", window, pool_stride, pool_padding, features)

    def fc(
        self,
        features: int,
        *,
        activation: str | None = "relu",
        init: str | float | None = None,
    ) -> None:
        """Add a hidden block FC → BN → activation; images are made vectors first."""
        n = self._linear(features, True, init)
        self._batch_norm(f"bn{n}", features)
        self.layers += self._activation(activation, n)

    def output(self, classes: int, *, init: str | float | None = None) -> None:
        """Add the last layer, without BN and activation."""
        self._linear(classes, False, init)

    def paper(self, std: float) -> float | None:
        """Return an `init` that counts only where the settings leave it to the paper."""
        return std if self.settings.init == "paper" else None

    def global_avg_pool(self) -> None:
        """Add the mean over all positions: (H, W, C) becomes (C,)."""
        self.add(GlobalAvgPool(name=f"mean{self.weighted}"))

    def activation(self, kind: str) -> None:
        """Add "relu", "sigmoid" or "tanh", as after a residual block."""
        name = "-".join([kind, *(layer.name for layer in self.layers[-1:])])
        self.layers.append(self._kind(kind)(name=name))

    def residual(
        self,
        branch: Callable[["Builder"], None],
        shortcut: Callable[["Builder"], None] | None = None,
        *,
        name: str = "",
    ) -> None:
        """Add Y = branch(X) + shortcut(X); without a shortcut, X itself is added.

        branch, shortcut  functions that add blocks to the builder they are given
        """
        count = sum(isinstance(layer, Residual) for layer in self.layers)
        name = name or f"block{count + 1}"
        outer, shape = self.layers, self.shape
        parts, shapes = [], []
        for build in (branch, shortcut):
            self.layers, self.shape = [], shape
            with self._inside(name):
                if build is not None:
                    build(self)
            parts.append(self.layers)
            shapes.append(self.shape)
        self.layers = outer
        if shapes[0] != shapes[1]:
            raise InputError(
                f"layer {name!r}: the branch makes {shape} into {shapes[0]}, the shortcut into "
                f"{shapes[1]}: expected the same, so that they can be added."
            )
        self.layers.append(Residual(*parts, name=name))
        self.shape = shapes[0]

    def add(self, layer: Layer) -> None:
        """Add any layer; its output's shape is found by two samples of zeros."""
        X = self.streams.device.asarray([0.0], self.streams.dtype)
        X = self.streams.device.xp.zeros((2, *self.shape), X.dtype)
        try:
            Y = layer.forward(X, train=True)
        except (ValueError, IndexError) as error:
            raise InputError(
                f"layer {layer.name!r} does not take inputs of shape {self.shape}: {error}"
            ) from error
        self.layers.append(layer)
        self.shape = tuple(Y.shape[1:])

    def _linear(self, features: int, hidden: bool, init: str | float | None) -> int:
        if len(self.shape) == 3:
            self.layers.append(Flatten(name="flatten"))
            self.shape = (math.prod(self.shape),)
        name = f"fc{self.weighted + 1}"
        W, b = self._weights(name, (self.shape[0], features), hidden, init)
        self.layers.append(Linear(W, b, name=name))
        self.shape = (features,)
        return self.weighted

    def _slide(self, name: str, size: int, stride: int, padding: Padding, features: int) -> None:
        try:
            pair = output_size(*self.shape[:2], (size, size), stride, padding)
        except InputError as error:
            raise InputError(f"layer {name!r}: {error}") from error
        self.shape = (*pair, features)

    def _activation(self, kind: str | None, n: int) -> list[Layer]:
        return [] if kind is None else [self._kind(kind)(name=f"{kind}{n}")]

    def _kind(self, kind: str) -> type[Layer]:
        if kind not in ACTIVATIONS:
            raise unknown("activation", kind, ACTIVATIONS)
        return ACTIVATIONS[kind]

    def _batch_norm(self, name: str, features: int) -> None:
        if not self.condition.bn:
            return
        scale, shift = None, None
        if self.condition.learns_bn:
            scale, shift = self._constant(features, 1), self._constant(features, 0)
        self.layers.append(
            BatchNorm(features, scale=scale, shift=shift, eps=self.settings.bn_eps, name=name)
        )

    def _weights(
        self, name: str, shape: tuple[int, ...], hidden: bool, init: str | float | None
    ) -> tuple[Array, Array | None]:
        """Return W ~ N(0, σ²), and b = 0 or None: BN takes a bias out again, so that its gradient
        is rounding noise, which BM would turn into full steps."""
        if not all(isinstance(size, int) and size > 0 for size in shape):
            raise InputError(f"layer {name!r}: W of shape {shape}: expected whole numbers over 0.")
        self.weighted += 1
        W = self.streams[f"init/{self.within}{name}"].at(0).normal(shape, self._sigma(shape, init))
        biased = self.settings.bias_before_bn or not (hidden and self.condition.bn)
        return W, self._constant(shape[-1], 0) if biased else None

    def _sigma(self, shape: tuple[int, ...], init: str | float | None) -> float:
        inputs = math.prod(shape[:-1])
        init = str(self.settings.init if init is None else init)
        check_init(init)
        if init == "he":
            return math.sqrt(2 / inputs)
        if init == "xavier":
            return math.sqrt(2 / (inputs + math.prod(shape[:-2]) * shape[-1]))
        return 0.01 if init == "paper" else float(init)

    def _constant(self, features: int, value: float) -> Array:
        return self.streams.device.asarray([value] * features, self.streams.dtype)

    @contextlib.contextmanager
    def _inside(self, name: str) -> Iterator[None]:
        before, self.within = self.within, f"{self.within}{name}/"
        try:
            yield
        finally:
            self.within = before


def _sides(padding: Padding | int) -> Padding:
    """Return (top, bottom, left, right).

    >>> _sides(1), _sides((0, 1, 0, 1))
    ((1, 1, 1, 1), (0, 1, 0, 1))
    """
    return (padding,) * 4 if isinstance(padding, int) else padding
