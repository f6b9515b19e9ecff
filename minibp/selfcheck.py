"""Proof by numbers that every backward pass is right: each kind of layer, each network of Table 1.

python -m minibp.selfcheck
python -m minibp.selfcheck --device cuda
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from minibp import console
from minibp.conditions import Condition
from minibp.device import KERNELS, Device, get_device, has_numba
from minibp.errors import InputError
from minibp.gradcheck import gradcheck
from minibp.layers import AvgPool2D, BatchNorm, Conv2D, Flatten, Layer, Linear, MaxPool2D, ReLU
from minibp.models import NETWORKS, build_network, input_shape
from minibp.ops.tiers import ops_for
from minibp.rng import Streams
from minibp.settings import Settings

CLASSES = 5
HEADS = ("SGD", "BN", "frSF+BN", "RndF")


def layer_cases(device: Device | None = None) -> Iterator[tuple[str, Layer, tuple]]:
    """Yield (what it is, the layer, its input) for each kind of layer, with V = W and V ≠ W."""
    rng = Streams(0, device, dtype="float64")["selfcheck"].at(0)
    image, vector = rng.normal((3, 7, 6, 2)), rng.normal((5, 4))

    def weights(*shape: int) -> tuple[Any, Any]:
        return rng.normal(shape), rng.normal(shape[-1:])

    options = {"stride": 2, "padding": (1, 0, 2, 1)}
    for title, layer, X in (
        ("Linear", Linear(*weights(4, 3)), vector),
        ("Conv2D", Conv2D(*weights(3, 3, 2, 4)), image),
        ("Conv2D, stride 2, padded", Conv2D(*weights(3, 2, 2, 4), **options), image),
        ("Conv2D 5x5", Conv2D(*weights(5, 5, 2, 3), padding=(2, 1, 0, 2)), image),
        ("Conv2D 7x7", Conv2D(*weights(7, 7, 2, 3), padding=(1, 2, 1, 1)), image),
    ):
        yield f"{title}, V = W", layer, (X,)
        layer.V = rng.normal(layer.W.shape)
        yield f"{title}, V ≠ W", layer, (X,)
    for title, pool in (("MaxPool2D", MaxPool2D), ("AvgPool2D", AvgPool2D)):
        yield f"{title} 2x2/2", pool((2, 2), 2), (image,)
        yield f"{title} 3x3/2, clipped", pool((3, 3), 2, padding=(0, 1, 1, 1)), (image,)
    away = image + (image >= 0) * 0.1 - (image < 0) * 0.1  # |N| of 0.1 or more
    yield "ReLU", ReLU(), (away,)
    for title, X in (("vectors", vector), ("images", image)):
        C = X.shape[-1]
        yield f"BatchNorm of {title}", BatchNorm(C), (X,)
        affine = BatchNorm(C, scale=rng.normal((C,)), shift=rng.normal((C,)))
        yield f"BatchNorm of {title}, learnable", affine, (X,)
    yield "Flatten", Flatten(), (image,)


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
    kinds = (("layer", layer_cases(device)), ("network", network_cases(networks, device)))
    for kind, cases in kinds:
        print(f"{f'{kind}, {where}':<34} comparisons  worst error  allowed")
        for name, subject, inputs in cases:
            if isinstance(subject, Layer):
                subject.ops = ops
            report = gradcheck(subject, *inputs, device=device)
            print(
                f"{name:<34} {len(report.rows):>11}  {report.worst:>11.1e}  {report.tolerance:>7g}"
                f"  {'ok' if report.ok else 'FAILED'}",
                flush=True,
            )
            if verbose or not report.ok:
                print(report)
            passed &= report.ok
    return passed


if __name__ == "__main__":
    sys.exit(console.run(main))
