"""The networks: Table 1, one function a column, and those of users."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial

from minibp import usercode
from minibp.checks import is_whole, plain
from minibp.device import Device, check_dtype
from minibp.errors import InputError, unknown
from minibp.layers import WeightedLayer
from minibp.layers.tree import walk
from minibp.losses import LOSSES, smoothed
from minibp.network import Network
from minibp.ops.tiers import check_matmul
from minibp.rng import Streams
from minibp.study import zoo
from minibp.study.builder import Builder
from minibp.study.conditions import Condition
from minibp.study.settings import Settings


def image119(net: Builder, classes: int) -> None:
    """All others."""
    net.conv(9, 48, stride=2, pool=("max", 2, 2))
    net.conv(5, 128, pool=("max", 2, 2))
    net.fc(max(256, classes * 3))
    net.fc(classes * 2)
    net.output(classes)


def mnist(net: Builder, classes: int) -> None:
    """MNIST."""
    activation = "relu" if net.settings.mnist_conv_relu else None
    net.conv(5, 20, pool=("max", 2, 2), activation=activation)
    net.conv(5, 50, pool=("max", 2, 2), activation=activation)
    net.fc(500)
    net.output(classes)


def cifar(net: Builder, classes: int) -> None:
    """CIFAR10&100: 2 units of padding for convolutions, 1 at the right and bottom for pooling."""
    below, init = (0, 1, 0, 1), net.paper(0.05)
    net.conv(5, 32, padding=2, pool=("max", 3, 2), pool_padding=below)
    net.conv(5, 64, padding=2, pool=("avg", 3, 2), pool_padding=below, init=init)
    net.conv(5, 64, padding=2, pool=("avg", 3, 2), pool_padding=below, init=init)
    net.fc(128, init=init)
    net.output(classes, init=init)


def svhn(net: Builder, classes: int) -> None:
    """SVHN."""
    net.conv(5, 20, pool=("max", 2, 2))
    net.conv(7, 512, pool=("max", 2, 2))
    net.fc(40)
    net.output(classes)


def timit(net: Builder, classes: int) -> None:
    """TIMIT-80."""
    net.fc(512)
    net.fc(256)
    net.output(classes)


Build = Callable[[Builder, int], None]
NETWORKS: dict[str, tuple[Build, tuple[int, ...]]] = {
    "mnist": (mnist, (28, 28, 1)),
    "cifar": (cifar, (32, 32, 3)),
    "svhn": (svhn, (32, 32, 3)),
    "image119": (image119, (119, 119, 3)),
    "timit": (timit, (1845,)),
}


def input_shape(network: str) -> tuple[int, ...]:
    """Return the shape of one input of a network of Table 1: (H, W, C) or (I,)."""
    if network not in NETWORKS:
        raise unknown("network", network, NETWORKS)
    return NETWORKS[network][1]


def get_network(name: str) -> Build:
    """Return the function of a network of Table 1, of the field's ("resnet-20": see
    minibp/study/zoo.py), or of a user's file ("my_net.py:small").

    Raises InputError for an unknown name, a file that cannot be loaded, or no such function in it.
    """
    if not isinstance(name, str):
        raise InputError(
            f"network {_name_of(name)}: a recipe knows its network by a name that its record can "
            "keep: expected such as 'my_net.py:small'."
        )
    if name in NETWORKS:
        return NETWORKS[name][0]
    if (of_the_field := zoo.find(name)) is not None:
        return of_the_field
    place = usercode.split(name)
    if place is None:
        raise unknown("network", name, [*NETWORKS, *zoo.ZOO, "mlp-500-300", "file.py:function"])
    path, function = place
    build = getattr(usercode.load(path).module, function, None)
    if not callable(build) or isinstance(build, type):
        raise InputError(f"{path} has no function {function!r}: {EXPECTED}.")
    try:
        inspect.signature(build).bind(None, 2)
    except (TypeError, ValueError) as error:  # ValueError: a builtin has no signature to look at
        raise InputError(f"network {name}: {function} ({error}): {EXPECTED}.") from error
    return build


EXPECTED = "expected def NAME(net, classes), which adds blocks to net (docs/howto.md)"


def build_network(
    network: str | Build,
    classes: int,
    condition: Condition,
    device: Device,
    seed: int = 0,
    dtype: str = "float32",
    settings: Settings | None = None,
    shape: tuple[int, ...] | None = None,
    trace: bool = False,
) -> Network:
    """Return a network with random W, zero biases and the condition's V.

    network  "mnist", "cifar", "svhn", "image119" or "timit", the field's, such as "resnet-20", a
             user's "my_net.py:small", or a function of a Builder and the number of classes
    classes  number of outputs, 2 or more
    dtype    "float32" to train, "float64" to check
    shape    of one input, (H, W, C) or (I,): needed for a network that is not of Table 1
    trace    True: layer by layer, so that every array of a step can be looked at. Otherwise a
             compiled tier runs layers as one where it can, and uses arrays again in the next step

    Raises InputError for a function that builds no such network.

    >>> from minibp import get_device
    >>> net = build_network("mnist", 10, Condition.parse("frSF+BN"), get_device("cpu"))
    >>> [layer.name for layer in net.layers][:5]
    ['conv1', 'bn1', 'relu1', 'pool1', 'conv2']
    """
    build, name = (get_network(network), network) if isinstance(network, str) else (network, "")
    what = f"network {name or _name_of(network)}"
    if not callable(build):
        raise InputError(f"{what}: expected a name, or {EXPECTED.removeprefix('expected ')}.")
    shape = _checked_shape(what, shape, NETWORKS[name][1] if name in NETWORKS else None)
    classes = plain(classes)
    if not is_whole(classes) or classes < 2:
        raise InputError(f"classes={classes!r}: expected an integer of 2 or more.")
    settings = settings or Settings()
    check_matmul(device, settings.matmul, dtype)
    streams = Streams(seed, device, check_dtype(dtype))
    net = Builder(shape, condition, streams, settings)
    with usercode.named(what):
        returned = build(net, classes)
    _check_built(what, net, returned, classes)
    last = [path for path, layer in walk(net.layers) if isinstance(layer, WeightedLayer)][-1]
    built = Network(
        net.layers,
        rule=condition.rule(settings.sigma),
        streams=streams,
        condition=condition,
        device=device,
        input_shape=shape,
        symmetric=(last,) if settings.feedback_layers == "all but last" else (),
        matmul=settings.matmul,
        loss=smoothed(LOSSES[settings.loss], settings.smoothing),
    )
    if not trace:
        built.fuse()
    return built


def _name_of(network: object) -> str:
    """Return what to call a function, also one that functools.partial has made."""
    function = network.func if isinstance(network, partial) else network
    return getattr(function, "__name__", repr(network))


def _checked_shape(what: str, shape: object, own: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape of an input as a tuple of Python's integers; `own` is Table 1's."""
    if shape is None and own is None:
        raise InputError(f"{what}: give the shape of an input, such as (28, 28, 1).")
    found = (
        own if shape is None else tuple(map(plain, shape if isinstance(shape, Iterable) else ()))
    )
    if len(found) not in (1, 3) or not all(is_whole(n) and n > 0 for n in found):
        raise InputError(f"{what}: shape {shape!r}: expected (H, W, C) or (I,), each 1 or more.")
    if own is not None and found != own:
        raise InputError(f"{what} takes inputs of shape {own}, not {found}: leave shape out.")
    return found


def _check_built(what: str, net: Builder, returned: object, classes: int) -> None:
    """Raise InputError unless a function has added layers that end in an output for each class."""
    if returned is not None:
        raise InputError(f"{what} returned a {type(returned).__name__}: {EXPECTED}.")
    if not any(isinstance(layer, WeightedLayer) for _, layer in walk(net.layers)):
        raise InputError(f"{what} has no layer with weights: {EXPECTED}.")
    if net.shape != (classes,):
        raise InputError(
            f"{what} ends in outputs of shape {net.shape}: expected ({classes},), one for each "
            "class: let net.output(classes) be its last line."
        )
