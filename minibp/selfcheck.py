"""Proof by numbers that every backward pass is right: each kind of layer, each rule whose V goes
down on an energy or takes an error from afar, each network of Table 1.

Layers, and networks layer by layer, are compared with numerical derivatives. A training runs fused
blocks instead, and Eq. 3 with the refresh of V in one pass: after whole steps of those, everything
has to be what the plain tier, layer by layer, makes of the same weights and inputs.

python -m minibp.selfcheck
python -m minibp.selfcheck --device cuda
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from minibp import console
from minibp.device import KERNELS, Device, get_device, has_numba
from minibp.differences import Row
from minibp.errors import InputError
from minibp.feedback import RULES
from minibp.gradcheck import Report, gradcheck
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
from minibp.layers.tree import walk
from minibp.network import Network
from minibp.ops.tiers import ops_for
from minibp.rng import Streams
from minibp.study.conditions import Condition
from minibp.study.networks import NETWORKS, build_network, input_shape
from minibp.study.recipe import build_optimizer
from minibp.study.settings import Settings
from minibp.training.run import train_step

CLASSES = 5
HEADS = ("SGD", "BN", "frSF+BN", "RndF")
FUSED_HEADS = ("BN", "frSF+BN", "brSF-25")  # BN that learns, that does not, none; V redrawn
STEPS = 2  # of training with fused blocks: the second has momentum
RATE = 0.01
FUSED_TOLERANCE = 1e-9  # relative to an array's largest element
CLIPPED = (1, 1, 1, 2)  # of a window of 3x3 at a stride of 2: it is clipped at every side


def layer_cases(device: Device | None = None) -> Iterator[tuple[str, Layer, tuple]]:
    """Yield (what it is, the layer, its input) for each kind of layer, with V = W and V ≠ W."""
    rng = Streams(0, device, dtype="float64")["selfcheck"].at(0)
    image, vector = rng.normal((3, 7, 6, 2)), rng.normal((5, 4))

    def weights(*shape: int) -> tuple[Any, Any]:
        return rng.normal(shape), rng.normal(shape[-1:])

    options = {"stride": 2, "padding": (1, 2, 1, 1)}
    for title, layer, X in (
        ("Linear", Linear(*weights(4, 3)), vector),
        ("Conv2D", Conv2D(*weights(3, 3, 2, 4)), image),
        ("Conv2D, stride 2, padded", Conv2D(*weights(3, 2, 2, 4), **options), image),
        ("Conv2D 5x5", Conv2D(*weights(5, 5, 2, 3), padding=(2, 1, 1, 2)), image),
        ("Conv2D 7x7", Conv2D(*weights(7, 7, 2, 3), padding=(1, 2, 1, 1)), image),
        ("Conv2D 9x9/2", Conv2D(*weights(9, 9, 2, 3), stride=2, padding=(3, 3, 3, 4)), image),
    ):
        yield f"{title}, V = W", layer, (X,)
        layer.V = rng.normal(layer.W.shape)
        yield f"{title}, V ≠ W", layer, (X,)
    for title, pool in (("MaxPool2D", MaxPool2D), ("AvgPool2D", AvgPool2D)):
        yield f"{title} 2x2/2", pool((2, 2), 2), (image,)
        yield f"{title} 3x3/2, clipped", pool((3, 3), 2, padding=CLIPPED), (image,)
    away = image + (image >= 0) * 0.1 - (image < 0) * 0.1  # |N| of 0.1 or more
    yield "ReLU", ReLU(), (away,)
    for title, X in (("vectors", vector), ("images", image)):
        C = X.shape[-1]
        yield f"BatchNorm of {title}", BatchNorm(C), (X,)
        affine = BatchNorm(C, scale=rng.normal((C,)), shift=rng.normal((C,)))
        yield f"BatchNorm of {title}, learnable", affine, (X,)
    yield "Flatten", Flatten(), (image,)
    yield "Sigmoid", Sigmoid(), (vector,)
    yield "Tanh", Tanh(), (vector,)
    yield "GlobalAvgPool", GlobalAvgPool(), (image,)
    branch = [Linear(*weights(4, 3), name="fc1"), Tanh(), Linear(*weights(3, 4), name="fc2")]
    for shortcut in ([], [Linear(*weights(4, 4), name="fc3")]):
        block = Residual(branch, shortcut)
        title = "Residual, with a shortcut" if shortcut else "Residual"
        yield f"{title}, V = W", block, (vector,)
    for layer in (*branch[::2], *shortcut):
        layer.V = rng.normal(layer.W.shape)
    yield f"{title}, V ≠ W", block, (vector,)


def network_cases(names: list[str], device: Device) -> Iterator[tuple[str, Any, tuple]]:
    """Yield (what it is, the network, its input and labels); V = W for SGD and BN."""
    for name in names:
        rng = Streams(1, device, dtype="float64")[name].at(0)
        X = rng.normal((4, *input_shape(name)))
        labels = device.asarray(rng.permutation(CLASSES)[:4])
        for head in HEADS:
            # With the paper's small initial weights nearly nothing would reach the first layer.
            net = build_network(
                name, CLASSES, Condition.parse(head), device, 0, "float64", Settings(init="he")
            )
            yield f"{name}, {head}", net, (X, labels)


def rule_cases(device: Device) -> Iterator[tuple[str, Network, tuple]]:
    """Yield (what it is, a network, its input and labels) for each rule whose V goes down on an
    energy, and for each that sends an error from afar."""
    for name, cls in RULES.items():
        if cls.energy is not None or cls.error != "own":
            rng = Streams(3, device, dtype="float64")[name].at(0)
            X, labels = rng.normal((4, 14, 13, 2)), device.asarray(rng.permutation(CLASSES)[:4])
            yield name, all_blocks(Condition.parse(name), device), (X, labels)


def fused_cases(names: list[str], device: Device) -> Iterator[tuple[str, Network, Network, tuple]]:
    """Yield (what it is, a network on the plain tier, the same on the device and fused, the host's
    input and labels)."""
    host = get_device("cpu", "plain")
    for head in FUSED_HEADS:
        for name in ("blocks", *names):
            nets = [_network(name, Condition.parse(head), place) for place in (host, device)]
            nets[1].fuse()
            rng = Streams(2, host, dtype="float64")[name].at(0)
            X = rng.normal((4, *nets[0].input_shape))
            yield f"{name}, {head}", *nets, (X, rng.permutation(CLASSES)[:4])


def _network(name: str, condition: Condition, device: Device) -> Network:
    if name == "blocks":
        return all_blocks(condition, device)
    return build_network(name, CLASSES, condition, device, 0, "float64", Settings(init="he"))


def all_blocks(condition: Condition, device: Device) -> Network:
    """Return a network with a block of each kind, for images of 14x13x2; pooling is clipped."""
    streams = Streams(0, device, "float64")
    rng = streams["blocks"].at(0)

    def block(layer: type[Layer], n: int, *shape: int, **options: Any) -> list[Layer]:
        J, learns = shape[-1], condition.learns_bn
        arrays = {"scale": rng.normal((J,)), "shift": rng.normal((J,))} if learns else {}
        first = layer(rng.normal(shape, 0.3), rng.normal((J,)), name=f"layer{n}", **options)
        bn = [BatchNorm(J, name=f"bn{n}", **arrays)] if condition.bn else []
        return [first, *bn, ReLU(name=f"relu{n}")]

    layers = [
        *block(Conv2D, 1, 5, 5, 2, 4, padding=(2, 1, 1, 2)),
        MaxPool2D((3, 3), 2, padding=CLIPPED, name="pool1"),
        *block(Conv2D, 2, 3, 3, 4, 6, padding=(1, 1, 1, 1)),
        AvgPool2D((3, 3), 2, padding=CLIPPED, name="pool2"),
        Flatten(name="flatten"),
        *block(Linear, 3, 96, 8),
        Linear(rng.normal((8, CLASSES)), name="layer4"),
    ]
    rule, shape = condition.rule(), (14, 13, 2)
    return Network(
        layers, rule=rule, streams=streams, condition=condition, device=device, input_shape=shape
    )


def check_fused(plain_net: Network, fused: Network, X: Any, labels: Any) -> Report:
    """Compare what steps of training and an evaluation leave, on the plain tier and fused."""
    after = [_trained(net, X, labels) for net in (plain_net, fused)]
    report = Report(FUSED_TOLERANCE)
    for (layer, array), right in after[0].items():
        # Under BN a bias has a gradient of 0, of which only rounding is left.
        like = after[0][layer, "dW"] if array == "db" else right
        scale = max(abs(right).max(), abs(like).max()) or 1.0
        errors = abs(after[1][layer, array] - right) / scale
        where = f"of the largest element, {scale:.1e}"
        error = float(errors.max())
        report.rows.append(Row(layer, array, error, where, error <= report.tolerance))
    return report


def _trained(net: Network, X: Any, labels: Any) -> dict[tuple[str, str], Any]:
    """Return, on the host, by layer and array, what a network has after some steps of training."""
    put, get = net.device.asarray, net.device.to_host
    optimizer = build_optimizer(net, net.condition, RATE)
    for _ in range(STEPS):
        E = train_step(net, optimizer, put(X), put(labels))
    found = {("network", "E"): E}
    for path, layer in net.walk():
        found |= {(path, f"d{name}"): g for name, g in layer.grads.items()}
        found |= {(path, name): w for name, w in layer.params.items()}
    found |= {(layer.path, "V"): layer.V for layer in net.weighted}
    for bn in net.batch_norms():
        bn.forget()
        bn.observe(1.0)
    found["network", "evaluated"] = net.forward(put(X), train=False)
    return {key: get(array).copy() for key, array in found.items()}


def main(argv: list[str] | None = None) -> int:
    """Check everything and print a line for each; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m minibp.selfcheck",
        description="Compare every backward pass with numerical derivatives, in float64.",
    )
    parser.add_argument(
        "--networks",
        nargs="*",
        choices=NETWORKS,
        default=list(NETWORKS),
        metavar="NAME",
        help=f"{', '.join(NETWORKS)} (Table 1; default: all)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print every comparison")
    parser.add_argument(
        "--kernels",
        nargs="*",
        choices=KERNELS[1:],
        default=["plain", *(["compiled"] if has_numba() else [])],
        metavar="TIER",
        help="compiled, plain (default: both where Numba is installed)",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    args = parser.parse_args(argv)
    passed = True
    try:
        devices = [get_device(args.device, kernels) for kernels in args.kernels]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for device in devices:
        passed &= check(device, args.networks, args.verbose)
    print("every backward pass agrees" if passed else "some backward pass is WRONG")
    return 0 if passed else 1


def check(device: Device, networks: list[str], verbose: bool) -> bool:
    """Check everything on a device, and print a line for each."""
    passed, ops = True, ops_for(device)
    where = f"{device.kernels} kernels" + (f" on {device.name}" if device.name != "cpu" else "")
    kinds = {
        "layer": layer_cases(device),
        "rule": rule_cases(device),
        "network": network_cases(networks, device),
    }
    for kind, cases in kinds.items():
        _head(kind, where)
        for name, subject, inputs in cases:
            if isinstance(subject, Layer):
                for _, layer in walk([subject]):
                    layer.ops = ops
            tolerance = None if kind == "network" else 1e-8
            report = gradcheck(subject, *inputs, device=device, tolerance=tolerance)
            passed &= _tell(name, report, verbose)
    if ops.compiled:
        _head("fused", where)
        for name, plain_net, fused, inputs in fused_cases(networks, device):
            passed &= _tell(name, check_fused(plain_net, fused, *inputs), verbose)
    return passed


def _head(kind: str, where: str) -> None:
    print(f"{f'{kind}, {where}':<34} comparisons  worst error  allowed")


def _tell(name: str, report: Report, verbose: bool) -> bool:
    """Print a line, and the table of a check that failed; return whether all is well."""
    print(
        f"{name:<34} {len(report.rows):>11}  {report.worst:>11.1e}  {report.tolerance:>7g}"
        f"  {'ok' if report.ok else 'FAILED'}",
        flush=True,
    )
    if verbose or not report.ok:
        print(report)
    return report.ok


if __name__ == "__main__":
    sys.exit(console.run(main))
