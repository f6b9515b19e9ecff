"""Do the compiled kernels learn what the plain ones learn?

    python scripts/dev/compare_kernels.py gradients
    python scripts/dev/compare_kernels.py training --dataset mnist --train-limit 5000 --epochs 3

gradients: one backward of each network in single precision, against the plain tier in double. Where
an error stands out, it is shown that decisions were flipped (a ReLU's at N ≈ 0, a maximum's between
equals), by counting them, and by repeating the backward with the decisions of the double one.

training: the same runs with both tiers, several seeds each: their final errors may differ by no
more than seeds do. With --device cuda a GPU's with the CPU's.

steps: the losses of the first steps of one run, on the CPU and on the other device.
"""

import argparse
import itertools
import statistics
import sys
from pathlib import Path

import numpy as np
from minibp_datasets import registry
from tqdm import tqdm
from workload import CLASSES, shape_of

from minibp import console
from minibp.device import DTYPES, Device, get_device
from minibp.errors import InputError, unknown
from minibp.files import write_json
from minibp.layers import MaxPool2D, ReLU
from minibp.losses import softmax_cross_entropy
from minibp.study.conditions import Condition
from minibp.study.networks import build_network
from minibp.study.protocol import BASE_RATE
from minibp.study.recipe import PaperRecipe
from minibp.study.settings import Settings
from minibp.training.run import Run, train_step
from minibp.training.schedule import BatchSchedule

# Each condition of the comparison with a rate factor at which it learns.
CONDITIONS = {"SGD": 10.0, "BN+BM": 0.1, "frSF+BN+BM": 0.1, "RndF": 0.1}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="compare_kernels.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("gradients", "training", "steps"))
    parser.add_argument("--device", default="cpu", help="of training and steps: cpu or cuda")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument(
        "--batch-size", type=int, default=100, help="of gradients and steps (default: 100)"
    )
    gradients = parser.add_argument_group("gradients")
    gradients.add_argument("--networks", nargs="+", default=list(CLASSES), metavar="NAME")
    training = parser.add_argument_group("training")
    training.add_argument("--dataset", default="digits", help="(default: digits)")
    training.add_argument("--data-dir", type=Path)
    training.add_argument("--train-limit", type=int)
    training.add_argument("--epochs", type=int, default=3, help="(default: 3)")
    steps = parser.add_argument_group("steps (of --dataset, too)")
    steps.add_argument("--steps", type=int, default=100, help="how many (default: 100)")
    steps.add_argument("--condition", default="frSF+BN+BM", help="(default: frSF+BN+BM)")
    steps.add_argument("--dtype", choices=DTYPES, default="float32", help="(default: float32)")
    steps.add_argument(
        "--tolerance", type=float, default=1e-4, help="of a loss, relative (default: 1e-4)"
    )
    return parser


def decisions(net) -> list[np.ndarray]:
    """Return the decision of each ReLU and maximum in the last training forward."""
    return [layer.kinks().copy() for _, layer in net.walk() if isinstance(layer, ReLU | MaxPool2D)]


def decide(net, taken: list[np.ndarray]) -> None:
    """Have the next backward go by other decisions."""
    layers = [layer for _, layer in net.walk() if isinstance(layer, ReLU | MaxPool2D)]
    for layer, decision in zip(layers, taken, strict=True):
        if isinstance(layer, ReLU):
            N = layer.cache["N"]
            layer.cache["N"] = np.where(decision, 1, -1).astype(N.dtype)
        else:
            first = layer.cache["first"]
            layer.cache["first"] = decision.astype(first.dtype)


def gradients(net, labels, N) -> list[np.ndarray]:
    """Return dW of each weighted layer."""
    net.backward(softmax_cross_entropy(N, labels)[1])
    return [layer.grads["W"].copy() for layer in net.weighted]


def compare_gradients(name: str, head: str, seed: int, size: int) -> dict:
    """Return errors of dW (relative to its largest element, the worst layer's), and flips."""
    rng = np.random.default_rng(seed)
    X, labels = rng.normal(size=(size, *shape_of(name))), rng.integers(0, 10, size)
    condition, passes = Condition.parse(head), {}
    for kernels, dtype in (("plain", "float64"), ("plain", "float32"), ("compiled", "float32")):
        device = get_device("cpu", kernels)
        given = (name, 10, condition, device, seed, dtype, Settings(init="he"))
        net = build_network(*given, shape=shape_of(name), trace=True)
        N = net.forward(X.astype(dtype), train=True)
        taken = decisions(net)
        passes[kernels, dtype] = (taken, gradients(net, labels, N))
        if (kernels, dtype) == ("compiled", "float32"):
            decide(net, passes["plain", "float64"][0])
            passes["as decided"] = (taken, gradients(net, labels, N))
    right_decisions, right = passes.pop(("plain", "float64"))
    row = {"network": name, "condition": head, "seed": seed}
    names = {("plain", "float32"): "plain", ("compiled", "float32"): "compiled"}
    for key, (taken, found) in passes.items():
        errors = [abs(a - b).max() / abs(b).max() for a, b in zip(found, right, strict=True)]
        row[f"{names.get(key, key)} error"] = float(max(errors))
        if key in names:
            flips = sum((a != b).sum() for a, b in zip(taken, right_decisions, strict=True))
            row[f"{names[key]} flips"] = int(flips)
    return row


def print_gradients(args: argparse.Namespace) -> list[dict]:
    """Print and return a row for each network, with and without BN, and seed."""
    rows = []
    print(
        "error of dW against double precision (worst layer), and decisions flipped\n\n"
        f"{'network':<9} {'':<8} seed  plain error  flips  compiled error  flips  "
        "compiled, decisions of double"
    )
    for name in args.networks:
        if name not in CLASSES:
            raise unknown("network", name, CLASSES)
        # Twenty layers without BN explode.
        for head in ("BN", "frSF+BN") if "resnet" in name else ("SGD", "BN", "frSF+BN"):
            for seed in range(args.seeds):
                row = compare_gradients(name, head, seed, args.batch_size)
                rows.append(row)
                print(
                    f"{name:<9} {head:<8} {seed:>4}  {row['plain error']:>11.1e}  "
                    f"{row['plain flips']:>5}  {row['compiled error']:>14.1e}  "
                    f"{row['compiled flips']:>5}  {row['as decided error']:>12.1e}",
                    flush=True,
                )
    return rows


def tiers(args: argparse.Namespace) -> dict[str, Device]:
    """Return the two devices that are compared, by name."""
    if args.device == "cpu":
        return {kernels: get_device("cpu", kernels) for kernels in ("plain", "compiled")}
    return {"cpu": get_device("cpu"), args.device: get_device(args.device)}


def print_training(args: argparse.Namespace) -> list[dict]:
    """Print and return the final test errors by condition and tier."""
    devices = tiers(args)
    data, rows, (first, second) = registry.load(args.dataset, data_dir=args.data_dir), [], devices
    print(f"{data.note}; {args.epochs} epochs, {args.seeds} seeds; final test error in %\n")
    print(f"{'condition':<12} {first:>16} {second:>16} {'difference':>11} {'its error':>10}")
    for head, factor in CONDITIONS.items():
        errors: dict[str, list[float]] = {name: [] for name in devices}
        jobs = [(seed, name) for seed in range(args.seeds) for name in devices]
        for seed, name in tqdm(jobs, desc=head, leave=False, disable=None):
            part = data.reduced(args.train_limit, None, seed)
            recipe = PaperRecipe(
                model=data.network,
                condition=Condition.parse(head),
                rate=BASE_RATE * factor,
                epochs=args.epochs,
                seed=seed,
            )
            run = Run(recipe, part, devices[name])
            while not run.finished:
                run.advance()
            errors[name].append(run.history[-1]["error"])
        rows.append({"condition": head, "rate_factor": factor, **errors})
        print(f"{head:<12} {row_text(errors)}", flush=True)
    return rows


def print_steps(args: argparse.Namespace) -> list[dict]:
    """Print and return the losses of the first steps on both devices, and how far they differ."""
    data, losses = registry.load(args.dataset, data_dir=args.data_dir), {}
    for name, device in tiers(args).items():
        condition = Condition.parse(args.condition)
        given = {"condition": condition, "rate": BASE_RATE * 0.1, "epochs": 1, "dtype": args.dtype}
        given["batches"] = BatchSchedule(args.batch_size)
        run, losses[name] = Run(PaperRecipe(model=data.network, **given), data, device), []
        epochs = itertools.count(1)
        while len(losses[name]) < args.steps:
            batches = run.feeds["train"].batches(*run.batches_of("shuffle", next(epochs)))
            for X, labels in itertools.islice(batches, args.steps - len(losses[name])):
                E = train_step(run.network, run.optimizer, X, labels)
                losses[name].append(float(device.to_host(E)))
    (first, a), (second, b) = losses.items()
    print(f"{data.note}; {args.condition}\n\nstep {first:>12} {second:>12}  difference, relative")
    rows = []
    for k, (x, y) in enumerate(zip(a[: args.steps], b, strict=False), start=1):
        rows.append({"step": k, first: x, second: y, "difference": abs(x - y) / abs(x)})
        if k <= 10 or k % 10 == 0:
            print(f"{k:>4} {x:>12.7f} {y:>12.7f}  {rows[-1]['difference']:.1e}")
    worst = max(row["difference"] for row in rows)
    print(f"\nthe largest: {worst:.1e}; allowed: {args.tolerance:g}")
    return rows


def row_text(errors: dict[str, list[float]]) -> str:
    """Return means ± standard deviations, the mean of the differences seed by seed, and its
    standard error."""
    first, second = errors.values()
    differences = [b - a for a, b in zip(first, second, strict=True)]
    cells = [
        f"{statistics.mean(errors[k]):>8.2f} ± {statistics.stdev(errors[k]):<5.2f}" for k in errors
    ]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return f"{' '.join(cells)} {statistics.mean(differences):>+11.2f} {error:>10.2f}"


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        if args.seeds < 2:
            raise InputError(f"seeds {args.seeds}: expected 2 or more, to see their spread.")
        do = {"gradients": print_gradients, "training": print_training, "steps": print_steps}
        rows = do[args.what](args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.json:
        write_json(args.json, rows)
    if args.what == "steps" and not all(row["difference"] <= args.tolerance for row in rows):
        print("error: the losses differ by more than is allowed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(console.run(main))
