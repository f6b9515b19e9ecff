"""What a network's function adds blocks to: it makes the arrays, and keeps count of the shapes."""

import contextlib
import math
from collections.abc import Callable, Iterator

from minibp.checks import is_whole, plain
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
from minibp.ops.window import Padding, Pair, output_size
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
        self.taken: set[str] = set()  # names in that block

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
        n = self.weighted + 1
        with _naming(f"conv{n}"):
            if len(self.shape) != 3:
                raise InputError(f"a convolution of inputs of shape {self.shape}.")
            padding = _sides(padding)
            shape = (size, size, self.shape[2], features)
            W, b = self._weights(f"conv{n}", shape, True, init)
            conv = Conv2D(W, b, stride=plain(stride), padding=padding, name=f"conv{n}")
            self.layers.append(conv)
            self._slide(W.shape[:2], conv.stride, padding, W.shape[-1])
            self._batch_norm(f"bn{n}", W.shape[-1])
            active = self._activation(activation, n)
        if pool is None:
            self.layers += active
            return
        with _naming(f"pool{n}"):
            pooling = self._pool(pool, _sides(pool_padding), f"pool{n}")
        first = self.settings.block_order == "conv-relu-pool"
        self.layers += [*active, pooling] if first else [pooling, *active]
        self._slide(pooling.window, pooling.stride, pooling.padding, W.shape[-1])

    def fc(
        self,
        features: int,
        *,
        activation: str | None = "relu",
        init: str | float | None = None,
    ) -> None:
        """Add a hidden block FC → BN → activation; images are made vectors first."""
        n = self._linear(features, True, init)
        with _naming(f"fc{n}"):
            self._batch_norm(f"bn{n}", *self.shape)
            self.layers += self._activation(activation, n)

    def output(self, classes: int, *, init: str | float | None = None) -> None:
        """Add the last layer, without BN and activation."""
        self._linear(classes, False, init)

    def paper(self, std: float) -> float | None:
        """Return an `init` that counts only where the settings leave it to the paper."""
        return std if self.settings.init == "paper" else None

    def global_avg_pool(self) -> None:
        """Add the mean over all positions: (H, W, C) becomes (C,)."""
        self.add(GlobalAvgPool(name=self._free(f"mean{self.weighted}")))

    def activation(self, kind: str) -> None:
        """Add "relu", "sigmoid" or "tanh", as after a residual block."""
        made = self._kind(kind)
        name = "-".join([kind, *(layer.name for layer in self.layers[-1:])])
        self.layers.append(made(name=self._free(name)))

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
        name = name or self._free(f"block{count + 1}")
        outer, shape = self.layers, self.shape
        parts, shapes = [], []
        with self._inside(name):
            for build in (branch, shortcut):
                self.layers, self.shape = [], shape
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
            self.layers.append(Flatten(name=self._free("flatten")))
            self.shape = (math.prod(self.shape),)
        name = f"fc{self.weighted + 1}"
        with _naming(name):
            W, b = self._weights(name, (self.shape[0], features), hidden, init)
        self.layers.append(Linear(W, b, name=name))
        self.shape = W.shape[-1:]
        return self.weighted

    def _pool(self, pool: object, padding: Padding, name: str) -> MaxPool2D | AvgPool2D:
        if not isinstance(pool, tuple) or len(pool) != 3:
            raise InputError(
                f"pool={pool!r}: expected ('max' or 'avg', size of the window, stride), or None."
            )
        kind, window, stride = map(plain, pool)
        if kind not in POOLS:
            raise unknown("pool", kind, POOLS)
        pooling = POOLS[kind]((window, window), stride, padding=padding, name=name)
        output_size(*self.shape[:2], pooling.window, pooling.stride, padding)
        return pooling

    def _slide(self, window: Pair, stride: int, padding: Padding, features: int) -> None:
        self.shape = (*output_size(*self.shape[:2], window, stride, padding), features)

    def _free(self, name: str) -> str:
        """Return the name, or with a number, so that no other of this block's layers has it."""
        free, number = name, 1
        while free in self.taken:
            number += 1
            free = f"{name}-{number}"
        self.taken.add(free)
        return free

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
        shape = tuple(map(plain, shape))
        if not all(is_whole(size) and size > 0 for size in shape):
            raise InputError(f"W of shape {shape}: expected whole numbers over 0.")
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
        before, self.within = (self.within, self.taken), f"{self.within}{name}/"
        self.taken = set()
        try:
            yield
        finally:
            self.within, self.taken = before


def _sides(padding: Padding | int) -> Padding:
    """Return (top, bottom, left, right).

    >>> _sides(1), _sides((0, 1, 0, 1))
    ((1, 1, 1, 1), (0, 1, 0, 1))
    """
    return (plain(padding),) * 4 if is_whole(padding) else padding


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Have an InputError say which layer it is about."""
    try:
        yield
    except InputError as error:
        whose = "" if str(error).startswith("layer ") else f"layer {name!r}: "
        raise InputError(f"{whose}{error}") from error
