"""Time one training step on each network of Table 1, and compare it with PyTorch's.

    python scripts/benchmark.py --against torch --json speed.json
    python scripts/benchmark.py --networks mnist --conditions RndF+BN KP+BN DFA+BN RndF+BN+Muon

A step is forward, backward, update and the refresh of V: batch 100, frSF, with and without Batch
Normalization and Batch Manhattan. All variants take turns in one process; then minibp and PyTorch's
fastest run in a process each, which also measures memory. Medians; ratios are within one run.
With --conditions minibp's steps of these are compared with each other instead.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from dev.workload import CLASSES, FIELD, batch_of, shape_of, step_flop

from minibp import console
from minibp.device import KERNELS, Device, get_device
from minibp.errors import InputError, unknown
from minibp.experiments.results import versions
from minibp.files import write_json
from minibp.layers.sequential import members
from minibp.losses import softmax_cross_entropy
from minibp.one_pass import update
from minibp.study.conditions import Condition
from minibp.study.networks import NETWORKS, build_network
from minibp.study.recipe import build_optimizer
from minibp.study.settings import Settings
from minibp.training.run import train_step

TURN = 0.1
REST = 0.15
SYMMETRIC = ("eager", "channels_last")
ASYMMETRIC = ("asymmetric", "asymmetric_channels_last")
TITLES = {True: "with", False: "without"}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="benchmark.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    names = [*NETWORKS, *FIELD]
    add("--networks", nargs="+", default=names, metavar="NAME", help=", ".join(names))
    add("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")
    add("--tf32", action="store_true", help="on a GPU: matrix products, and PyTorch's too, in TF32")
    add("--against", choices=("torch",), help="compare with PyTorch (pip install '.[torch]')")
    add("--compile", action="store_true", help="torch.compile, too: half a minute more a network")
    add("--whole-runs", action="store_true", help="also time digits (65 epochs) and an MNIST epoch")
    add("--scaling", action="store_true", help="step time as batch, width and classes double")
    add("--feedback", default="frSF", metavar="RULE", help="minibp's rule (default: frSF)")
    add("--conditions", nargs="+", metavar="HEAD", help="compare these, each with the first")
    add(
        "--processes",
        type=int,
        metavar="N",
        help="compare N processes of one thread each, as a sweep",
    )
    add("--batch-size", type=int, default=100, help="(default: 100)")
    add("--seconds", type=float, default=6, help="to spend on each row (default: 6)")
    add("--threads", type=int, help="(default: as many as there are cores for this process)")
    add("--kernels", choices=KERNELS, default="auto", help="of minibp (default: auto)")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured")
    add("--data-dir", type=Path, help="folder with MNIST's files, for --whole-runs")
    add("--child", help=argparse.SUPPRESS)
    add("--tiny", action="store_true", help=argparse.SUPPRESS)  # on an emulated GPU
    return parser


class Ours:
    """One training step of minibp."""

    def __init__(self, name: str, X, labels, condition: Condition, args: argparse.Namespace):
        device = get_device("cpu", args.kernels, args.threads)
        given, shape = (name, CLASSES[name], condition, device), shape_of(name)
        self.net = build_network(*given, settings=Settings(init="he"), shape=shape)
        self.optimizer = build_optimizer(self.net, condition, rate=5e-6)
        self.X, self.labels = device.asarray(X), device.asarray(labels)

    def __call__(self) -> None:
        train_step(self.net, self.optimizer, self.X, self.labels)

    def by_hand(self) -> None:
        """The same step in the notebooks' five lines."""
        N = self.net.forward(self.X, train=True)
        _, dN = self.net.loss(N, self.labels)
        self.net.backward(dN)
        self.optimizer.step()
        self.net.refresh_feedback(self.optimizer)

    def parts(self, rounds: int) -> dict[str, float]:
        """Return milliseconds by part: forward and backward of each unit, loss, update."""
        times: dict[str, list[float]] = {}

        def timed(name: str, work, *arguments, **options):
            start = time.perf_counter()
            result = work(*arguments, **options)
            times.setdefault(name, []).append(1e3 * (time.perf_counter() - start))
            return result

        for _ in range(rounds):
            x, units = self.X, self.net.units
            for unit in units:
                x = timed(f"{title(unit)} forward", unit.forward, x, train=True)
            _, d = timed("loss", softmax_cross_entropy, x, self.labels, self.net.ops)
            first = next(k for k, unit in enumerate(units) if self.net.weighted[0] in members(unit))
            for k in range(len(units) - 1, first - 1, -1):
                name = f"{title(units[k])} backward"
                d = timed(name, units[k].backward, d, need_dX=k > first)
            timed("update", update, self.net, self.optimizer)
        return {name: statistics.median(values) for name, values in times.items()}


def title(unit) -> str:
    """Return a unit's name: of a block its first layer's."""
    return members(unit)[0].name


def make(variant: str, name: str, bn: bool, bm: bool, args: argparse.Namespace, size: int):
    """Return a step of a variant: "minibp", or one of PyTorch's."""
    X, labels = batch_of(name, size)
    if variant == "minibp":
        return Ours(name, X, labels, Condition(args.feedback, bn=bn, bm=int(bm)), args)
    from dev.torch_step import Step

    threads = get_device("cpu", "plain", args.threads).threads
    return Step(name, CLASSES[name], X, labels, bn=bn, bm=bm, variant=variant, threads=threads)


def interleave(steps: dict, seconds: float) -> dict[str, list[float]]:
    """Return milliseconds by variant. The variants take turns of TURN seconds, of which the first
    steps do not count, with a rest between them, so that no library's threads still spin while
    another's work (a BLAS's do for a tenth of a second)."""
    for work in steps.values():
        for _ in range(2):
            work()
    times: dict[str, list[float]] = {variant: [] for variant in steps}
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < 5 or time.perf_counter() < end:
        for variant, work in steps.items():
            time.sleep(REST)
            begin, steps_done = time.perf_counter(), 0
            while steps_done < 2 or time.perf_counter() < begin + TURN:
                start = time.perf_counter()
                work()
                steps_done += 1
                if steps_done > 1 and start > begin + TURN / 4:
                    times[variant].append(1e3 * (time.perf_counter() - start))
        rounds += 1
    return times


def variants_of(name: str, args: argparse.Namespace) -> list[str]:
    """Return what is timed: minibp first."""
    if args.against is None:
        return ["minibp"]
    images = len(shape_of(name)) == 3
    layouts = [v for v in SYMMETRIC + ASYMMETRIC if images or "channels" not in v]
    return ["minibp", *layouts, *(["compile"] if args.compile else [])]


def alone(variant: str, name: str, bn: bool, bm: bool, args: argparse.Namespace) -> dict:
    """Return {"ms", "peak_mb"} of a variant in a process of its own."""
    given = json.dumps({"variant": variant, "name": name, "bn": bn, "bm": bm})
    command = [sys.executable, __file__, "--child", given, "--kernels", args.kernels]
    command += ["--feedback", args.feedback]
    command += ["--batch-size", str(args.batch_size), "--seconds", str(args.seconds / 3)]
    command += ["--threads", str(args.threads)] if args.threads else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def together(args: argparse.Namespace) -> list[dict]:
    """Print how many steps a second several processes of one thread do, ours and PyTorch's, as a
    sweep's workers do: of each variant all at once, one variant after the other."""
    rows, n = [], args.processes
    args.threads = 1
    print(f"{n} processes of one thread; steps a second of all together:")
    print(f"{'network':<11} {'':<3} {'minibp':>8} {'PyTorch':>8} {'×':>6}")
    for name in args.networks:
        for bn in (True,) if "resnet" in name else (False, True):
            rates = {}
            for variant in variants_of(name, args):
                if variant in ASYMMETRIC:
                    continue
                with ThreadPoolExecutor(n) as pool:
                    given = (variant, name, bn, False, args)
                    done = [pool.submit(alone, *given) for _ in range(n)]
                    rates[variant] = sum(1e3 / each.result()["ms"] for each in done)
            ours, best = rates.pop("minibp"), max(rates.values(), default=None)
            row = {"network": name, "bn": bn, "processes": n, "steps_per_s": ours}
            rows.append(row | {"torch_steps_per_s": rates, "ratio": best and ours / best})
            text = f"{best:>8.1f} {ours / best:>6.2f}" if best else ""
            print(f"{name:<11} {'BN' if bn else '':<3} {ours:>8.1f} {text}", flush=True)
    return rows


def child(args: argparse.Namespace) -> None:
    """Time one variant, and print milliseconds and peak memory above what the imports (and, with a
    step on a small batch, the compiled kernels) take."""
    given = json.loads(args.child)
    variant, name, bn, bm = given["variant"], given["name"], given["bn"], given["bm"]
    small = name if name == "timit" or name in FIELD else "mnist"
    make(variant, small, bn, bm, args, 2)()
    base = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work = make(variant, name, bn, bm, args, args.batch_size)
    times = interleave({variant: work}, args.seconds)[variant]
    print(json.dumps({"ms": statistics.median(times), "peak_mb": memory("VmHWM") - base}))


def memory(field: str) -> float:
    """Return VmRSS or VmHWM of this process in MB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"no {field} in /proc/self/status")


def gemm_ceiling(args: argparse.Namespace) -> float:
    """Return GFLOP/s of a large float32 matrix product on the same number of threads."""
    ops = Ours("timit", *batch_of("timit", 2), Condition(), args).net.ops
    A, n = np.ones((2048, 2048), np.float32), 2048
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        ops.linear(A, A, None)
        best = max(best, 2 * n**3 / (time.perf_counter() - start) / 1e9)
    return best


def measure(name: str, bn: bool, bm: bool, ceiling: float, args: argparse.Namespace) -> dict:
    """Return a row of the table."""
    steps = {
        variant: make(variant, name, bn, bm, args, args.batch_size)
        for variant in variants_of(name, args)
    }
    times = interleave(steps, args.seconds)
    medians = {variant: statistics.median(values) for variant, values in times.items()}
    ours = medians.pop("minibp")
    row = {
        "network": name,
        "bn": bn,
        "bm": bm,
        "ours_ms": ours,
        "torch_ms": medians,
        "spread_ms": {
            variant: [float(q) for q in np.percentile(values, [10, 90])]
            for variant, values in times.items()
        },
        "share_of_gemm_ceiling": step_flop(steps["minibp"].net, steps["minibp"].X)
        / ours
        / 1e6
        / ceiling,
        "parts_ms": steps["minibp"].parts(10),
    }
    if medians:
        symmetric = {v: ms for v, ms in medians.items() if v not in ASYMMETRIC}
        row["ratio_to_best"] = min(symmetric.values()) / ours
        row["ratio_to_asymmetric"] = min(ms for v, ms in medians.items() if v in ASYMMETRIC) / ours
    processes = {"minibp": alone("minibp", name, bn, bm, args)}
    if medians:
        best = min((v for v in SYMMETRIC if v in medians), key=lambda v: medians[v])
        processes[best] = alone(best, name, bn, bm, args)
        row["memory_ratio"] = processes["minibp"]["peak_mb"] / processes[best]["peak_mb"]
        row["ratio_in_processes"] = processes[best]["ms"] / processes["minibp"]["ms"]
    row["processes"] = processes
    return row


def print_row(row: dict) -> None:
    """Print a line of the table."""
    options = "+".join(word for word, on in (("BN", row["bn"]), ("BM", row["bm"])) if on)
    text = f"{row['network']:<11} {options:<6} {row['ours_ms']:>8.2f}"
    for variant in (*SYMMETRIC, *ASYMMETRIC, "compile"):
        ms = row["torch_ms"].get(variant)
        text += f" {'–' if ms is None else f'{ms:.2f}':>10}"
    for key in ("ratio_to_best", "ratio_to_asymmetric", "ratio_in_processes", "memory_ratio"):
        text += f" {row[key]:>7.2f}" if key in row else f" {'–':>7}"
    mb = row["processes"]["minibp"]["peak_mb"]
    print(f"{text} {mb:>8.0f} {100 * row['share_of_gemm_ceiling']:>7.0f}", flush=True)


def print_head() -> None:
    """Print the head of the table."""
    print(
        f"{'network':<11} {'':<6} {'minibp':>8} {'eager':>10} {'ch.last':>10} {'asym.':>10} "
        f"{'asym.c.l.':>10} {'compile':>10} {'× best':>7} {'× asym.':>7} {'× alone':>7} "
        f"{'memory':>7} {'MB':>8} {'% GEMM':>7}"
    )


def print_parts(rows: list[dict]) -> None:
    """Print where the time of each step goes."""
    for row in rows:
        options = f"{TITLES[row['bn']]} BN, {TITLES[row['bm']]} BM"
        parts = sorted(row["parts_ms"].items(), key=lambda pair: -pair[1])
        text = ", ".join(f"{name} {ms:.2f}" for name, ms in parts if ms >= 0.05)
        print(f"{row['network']} {options}: {text}")


def processor() -> str:
    """Return the processor's name and its widest vectors (Linux; elsewhere what Python knows)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(
        [word.strip() for word in line.split(":", 1)] for line in text.splitlines() if ":" in line
    )
    flags = fields.get("flags", "").split()
    wide = [name for name in ("avx512f", "avx2", "asimd") if name in flags]
    return ", ".join([fields.get("model name", platform.machine()), *wide[:1]])


def conditions(args: argparse.Namespace) -> list[dict]:
    """Print each condition's step time on each network, and its ratio to the first's."""
    rows = []
    wide = max(map(len, args.conditions))
    print(f"{'network':<11} {'condition':<{wide}} {'ms':>8} {'× first':>8} {'by hand':>8}")
    for name in args.networks:
        X, labels = batch_of(name, args.batch_size)
        steps = {
            head: Ours(name, X, labels, Condition.parse(head), args) for head in args.conditions
        }
        hands = {f"{head} by hand": step.by_hand for head, step in steps.items() if not far(step)}
        with steps[args.conditions[0]].net.ops.working():  # as a run does
            times = interleave(steps | hands, args.seconds * len(steps))
        medians = {head: statistics.median(values) for head, values in times.items()}
        for head in steps:
            ms, hand = medians[head], medians.get(f"{head} by hand")
            row = {"network": name, "condition": head, "ms": ms}
            row |= {"ratio": ms / medians[args.conditions[0]], "by_hand": hand and hand / ms}
            rows.append(row)
            text = f"{row['by_hand']:>8.2f}" if hand else f"{'–':>8}"
            print(f"{name:<11} {head:<{wide}} {ms:>8.2f} {row['ratio']:>8.2f} {text}", flush=True)
    return rows


def far(step: Ours) -> bool:
    """Return whether a step's rule needs the targets, which five lines by hand do not give."""
    return step.net.rule is not None and step.net.rule.error == "targets"


def scaling(args: argparse.Namespace) -> list[dict]:
    """Return step times of the MNIST and CIFAR networks as the batch doubles, and of the 119x119
    network as the number of classes, which sets its widths, doubles."""
    rows = []
    cases = [("mnist", size, 10) for size in (25, 50, 100, 200, 400)]
    cases += [("cifar", size, 10) for size in (25, 50, 100, 200)]
    cases += [("image119", 20, classes) for classes in (51, 102, 204, 408)]
    kept = dict(CLASSES)
    for name, size, classes in cases:
        CLASSES[name] = classes
        work = make("minibp", name, True, True, args, size)
        ms = statistics.median(interleave({"minibp": work}, args.seconds / 2)["minibp"])
        weights = sum(layer.W.size for layer in work.net.weighted)
        rows.append(
            {"network": name, "batch": size, "classes": classes, "weights": weights, "ms": ms}
        )
        print(
            f"{name:<9} batch {size:>4}, {classes:>4} classes, {weights:>9} weights {ms:>9.2f} ms"
        )
    CLASSES.update(kept)
    return rows


def whole_runs(args: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of the main job, of MNIST epochs, and on a GPU of whole runs."""
    import tempfile

    given = ["--device", args.device, "--kernels", args.kernels]
    given += ["--threads", str(args.threads)] if args.threads else []
    place = ["--data-dir", str(args.data_dir)] if args.data_dir else []
    script, seconds = Path(__file__).with_name("train.py"), {}
    one = ["--condition", "frSF+BN+BM", "--rate-factors", "0.1"]
    jobs = {
        "digits, 65 epochs, 5 rates": ["--feedback", "frSF", "--bn", "--bm"],
        "MNIST, 1 epoch, 1 rate": ["--dataset", "mnist", "--epochs", "1", *one, *place],
    }
    if args.device == "cuda":
        jobs["MNIST, 65 epochs, 1 rate"] = ["--dataset", "mnist", *one, *place]
        made = "synthetic:cifar,classes=10,train=50000,test=10000"
        jobs["CIFAR's size, 65 epochs, 1 rate"] = ["--dataset", made, *one]
    for name, flags in jobs.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, script, "--quiet", "--out", f"{folder}/out", *flags, *given]
            start = time.perf_counter()
            subprocess.run(command, check=True)
            seconds[name] = time.perf_counter() - start
        print(f"{name}: {seconds[name]:.1f} s", flush=True)
    return seconds


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = build_parser().parse_args(argv)
    if args.child:
        child(args)
        return 0
    try:
        for name in args.networks:
            if name not in CLASSES:
                raise unknown("network", name, CLASSES)
        device = get_device(args.device, args.kernels, args.threads)
        if args.tf32 and args.device == "cpu":
            raise InputError("--tf32 is for a GPU: --device cuda.")
        Condition(args.feedback)  # raises for an unknown rule
        for head in args.conditions or []:
            Condition.parse(head)
        if args.conditions and args.device == "cuda":
            raise InputError("--conditions is for a CPU.")
        if args.processes is not None and args.processes < 1:
            raise InputError(f"--processes {args.processes}: expected 1 or more.")
        if args.batch_size < 1:
            raise InputError(f"batch size {args.batch_size}: expected 1 or more.")
        if args.against and not _has("torch"):
            raise InputError("--against torch needs PyTorch: pip install '.[torch]'")
        if args.against and args.device == "cuda":
            check_torch_sees_the_gpu()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    result = on_gpu(args) if args.device == "cuda" else on_cpu(args, device)
    if args.whole_runs:
        print("\nWhole runs:")
        result["whole_runs_s"] = whole_runs(args)
    result["versions"] = versions()
    if args.json:
        write_json(args.json, result)
    return 0


def on_gpu(args: argparse.Namespace) -> dict:
    """Print the tables of a GPU, and return everything that was measured."""
    from dev import benchmark_gpu

    return benchmark_gpu.main(args)


def on_cpu(args: argparse.Namespace, device: Device) -> dict:
    """Print the tables of a CPU, and return everything that was measured."""
    ceiling = gemm_ceiling(args)
    print(
        f"{processor()}; {device.kernels} kernels, {device.threads} threads, batch "
        f"{args.batch_size}; matrix products reach {ceiling:.0f} GFLOP/s. Milliseconds a step, "
        "medians.\n"
    )
    result = {
        "processor": processor(),
        "gemm_gflops": ceiling,
        "device": device.describe(),
        "rows": [],
    }
    if args.conditions:
        return result | {"conditions": conditions(args)}
    if args.processes:
        return result | {"processes": together(args)}
    print(f"minibp with {args.feedback}:")
    print_head()
    for name in args.networks:
        # Twenty layers without BN explode.
        for bn in (True,) if "resnet" in name else (False, True):
            for bm in (False, True):
                row = measure(name, bn, bm, ceiling, args)
                result["rows"].append(row)
                print_row(row)
    print("\nWhere the time goes (ms):")
    print_parts(result["rows"])
    if args.scaling:
        print("\nGrowth, BN and BM:")
        result["scaling"] = scaling(args)
    return result


def check_torch_sees_the_gpu() -> None:
    """Raise InputError for a PyTorch that was made without CUDA, or that finds no GPU."""
    import torch

    if not torch.cuda.is_available():
        why = "was made without CUDA" if torch.version.cuda is None else "finds no usable GPU"
        raise InputError(
            f"--against torch: PyTorch {torch.__version__} {why}, so there is nothing to compare "
            "with on a GPU. Install one that fits the driver (pytorch.org says which), or leave "
            "--against out."
        )


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


if __name__ == "__main__":
    sys.exit(console.run(main))
