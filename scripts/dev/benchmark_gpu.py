"""The part of benchmark.py that times steps on a GPU, by CUDA events.

minibp's step takes its batch from the data in the GPU's memory, and is one launch; PyTorch's has
its batch given. Each is also timed launch by launch. Data are random; so are the weights.
"""

import argparse
import gc
import statistics
import threading
import time
from typing import Any

import numpy as np
from dev.workload import CLASSES, batch_of, shape_of, step_flop

from minibp.device import Device, get_device
from minibp.files import write_json
from minibp.ops.cuda.arithmetic import WINDOWS
from minibp.ops.cuda.blas import Blas
from minibp.ops.cuda.compiled import PARAMETERS
from minibp.study.conditions import Condition
from minibp.study.recipe import PaperRecipe
from minibp.study.settings import Settings
from minibp.training.data import Data
from minibp.training.run import Run
from minibp.training.schedule import BatchSchedule

BATCHES = 20  # in the data
STEPS = 20  # between two events
SIDE = 8192  # of the matrices whose product is the ceiling
COPIED = 1 << 28  # bytes of the copy that is the other
TITLES = {True: "with", False: "without"}
OURS = ("minibp", "minibp, launches")
SYMMETRIC = ("eager", "channels_last", "graph", "channels_last graph")
ASYMMETRIC = ("asymmetric", "asymmetric graph")


class Clock:
    """Milliseconds that the GPU takes, by two CUDA events on the stream that is in use."""

    def __init__(self, device: Device):
        self.events = device.xp.cuda

    def time(self, work: Any, times: int) -> float:
        """Return milliseconds a call."""
        begin, end = self.events.Event(), self.events.Event()
        begin.record()
        for _ in range(times):
            work()
        end.record()
        end.synchronize()
        return self.events.get_elapsed_time(begin, end) / times


class Ours:
    """One training step of minibp, replayed or launch by launch."""

    def __init__(self, name: str, bn: bool, bm: bool, args: Any, device: Device, replayed: bool):
        rng, shape, n = np.random.default_rng(0), shape_of(name), args.batch_size
        samples = max(BATCHES * n, CLASSES[name])  # each class has one
        X = rng.integers(0, 256, (samples, *shape), np.uint8)
        y = rng.permutation(samples) % CLASSES[name]
        data = Data(name, X, y, X[:1], y[:1], CLASSES[name])
        settings = Settings(init="he", preprocess="mean", matmul="tf32" if args.tf32 else "float32")
        condition = Condition(args.feedback, bn=bn, bm=int(bm))
        plan = PaperRecipe(
            model=name, condition=condition, rate=5e-6, batches=BatchSchedule(n), settings=settings
        )
        self.run, self.n, self.left = Run(plan, data, device), n, 0
        if not replayed:
            self.run.replay.reason = "asked for"
        self.clock = args.clock(device)

    def __call__(self) -> None:
        if self.left == 0:
            self.run.feeds["train"].start.set(0)
            self.left = BATCHES
        self.run.replay.step(self.n)
        self.left -= 1

    def milliseconds(self, times: int) -> float:
        """Return those of a step."""
        with self.run.device.working():
            return self.clock.time(self, times)

    def close(self) -> None:
        """Let the graphs go: while PyTorch records one, no other may end."""
        self.run.replay = None

    def counts(self) -> tuple[int, int, float]:
        """Return how many launches a step has when it is not replayed, how many bytes the arrays
        have that they read and write, and how many products and sums it takes."""
        ops, size = self.run.network.ops, 0
        launch, product = ops.launch, ops.blas.product

        def counted(kernel: str, dtype: Any, n: int, *arguments: Any) -> None:
            nonlocal size
            arrays = [array for array in arguments if hasattr(array, "shape")]
            size += sum(bytes_of(array, np.dtype(dtype).itemsize) for array in arrays)
            launch(kernel, dtype, n, *arguments)

        def multiplied(A: Any, B: Any, C: Any, transposed: tuple[bool, bool]) -> None:
            nonlocal size
            size += sum(map(bytes_of, (A, B, C)))
            product(A, B, C, transposed)

        before, feed = ops.launches.total(), self.run.feeds["train"]
        ops.launch, ops.blas.product = counted, multiplied
        with self.run.device.working():
            feed.start.set(0)
            self.run.launch_step(self.n)
            launches = ops.launches.total() - before
            ops.launch, ops.blas.product = launch, product
            feed.start.set(1)  # what the host knows of it is out of date
            feed.start.set(0)
            X, _ = feed.next(self.n)
            return launches, size, step_flop(self.run.network, X)


def bytes_of(array: Any, itemsize: int = 0) -> int:
    """Return the size of an array in bytes, or of those that a record of parameters names; of the
    data set, of which a batch is read, none."""
    if array.dtype == WINDOWS:  # sizes, which come with the call
        return 0
    if array.dtype == PARAMETERS:
        rows = array["each"]
        return itemsize * int(
            sum((rows[name] > 0) @ rows["n"] for name in "g w memory M S V".split())
        )
    return 0 if str(array.dtype) == "uint8" else array.size * array.dtype.itemsize


class TorchStep:
    """One training step of PyTorch on the GPU, timed by its own events."""

    def __init__(self, variant: str, name: str, bn: bool, bm: bool, args: Any):
        from dev.torch_step import Step

        X, labels = batch_of(name, args.batch_size)
        options = {"bn": bn, "bm": bm, "variant": variant, "place": "cuda", "tf32": args.tf32}
        self.step = Step(name, CLASSES[name], X, labels, **options)

    def __call__(self) -> None:
        self.step()

    def milliseconds(self, times: int) -> float:
        """Return those of a step."""
        import torch

        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(times):
            self.step()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / times

    def launches(self) -> int:
        """Return how many kernels a step has."""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as record:
            self.step()
        kernels = [event.name for event in record.events() if "CUDA" in str(event.device_type)]
        return sum(not name.startswith(("Memcpy", "Memset")) for name in kernels)


def ceilings(device: Device, clock: Clock, tf32: bool) -> tuple[float, float]:
    """Return GFLOP/s of a large matrix product, and GB/s of a large copy, read and written."""
    blas, xp = Blas.of(device, "tf32" if tf32 else "float32"), device.xp
    A, B, C = (xp.full((SIDE, SIDE), 0.5, "float32") for _ in range(3))
    source, target = xp.zeros(COPIED // 4, "float32"), xp.zeros(COPIED // 4, "float32")

    def multiply() -> None:
        blas.product(A, B, C, (False, False))

    def copy() -> None:
        target[...] = source

    best = []
    for work in (multiply, copy):
        work()
        best.append(min(clock.time(work, 5) for _ in range(5)))
    return 2 * SIDE**3 / best[0] / 1e6, 2 * COPIED / best[1] / 1e6


def variants_of(name: str, args: argparse.Namespace) -> list[str]:
    """Return what is timed: minibp's first."""
    if args.against is None:
        return list(OURS)
    images = len(shape_of(name)) == 3
    return [*OURS, *(v for v in SYMMETRIC + ASYMMETRIC if images or "channels" not in v)]


def measure(name: str, bn: bool, bm: bool, peaks: tuple[float, float], args: Any) -> dict:
    """Return a row of the table; the variants take turns."""
    gc.collect()
    steps: dict[str, Any] = {}
    for variant in variants_of(name, args):
        if variant in OURS:
            steps[variant] = Ours(name, bn, bm, args, args.device_of(), variant == OURS[0])
        else:
            steps[variant] = TorchStep(variant, name, bn, bm, args)
    for work in steps.values():
        work.milliseconds(5)
    times: dict[str, list[float]] = {variant: [] for variant in steps}
    end = time.perf_counter() + args.seconds
    while len(times[OURS[0]]) < 5 or time.perf_counter() < end:
        for variant, work in steps.items():
            times[variant].append(work.milliseconds(STEPS))
    medians = {variant: statistics.median(values) for variant, values in times.items()}
    ours, (launches, size, flop) = medians[OURS[0]], steps[OURS[0]].counts()
    row = {
        "network": name,
        "bn": bn,
        "bm": bm,
        "ms": medians,
        "how": steps[OURS[0]].run.launches,
        "spread_ms": {v: [float(q) for q in np.percentile(t, [10, 90])] for v, t in times.items()},
        "launches": {"minibp": launches},
        "share_of_gemm_ceiling": flop / ours / 1e6 / peaks[0],
        "share_of_copy_ceiling": size / ours / 1e6 / peaks[1],
    }
    for variant in OURS:
        steps[variant].close()
    if args.against:
        kinds = {
            "eager": [v for v in SYMMETRIC if "graph" not in v],
            "graph": [v for v in SYMMETRIC if "graph" in v],
            "asymmetric": ASYMMETRIC[:1],
            "asymmetric graph": ASYMMETRIC[1:],
        }
        row["ratio_to"] = {
            kind: min(medians[v] for v in names if v in medians) / ours
            for kind, names in kinds.items()
        }
    return row


def together(name: str, at_once: int, args: Any) -> dict:
    """Return steps a second of one run, and of several at once, in threads, each on a stream of its
    own."""
    rates = {}
    for count in (1, at_once):
        works = [Ours(name, True, True, args, args.device_of(), True) for _ in range(count)]
        for work in works:
            work.milliseconds(5)
        gate, steps = threading.Barrier(count + 1), max(STEPS, round(200 * args.seconds))

        def run(work: Ours, gate: threading.Barrier = gate, steps: int = steps) -> None:
            try:
                gate.wait()
                with work.run.device.working():
                    for _ in range(steps):
                        work()
                gate.wait()
            except BaseException:
                gate.abort()  # or the others would wait for ever
                raise

        threads = [threading.Thread(target=run, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        gate.wait()
        begin = time.perf_counter()
        gate.wait()
        rates[count] = count * steps / (time.perf_counter() - begin)
        for thread in threads:
            thread.join()
        for work in works:
            work.close()
    return {"network": name, "one": rates[1], "at_once": at_once, "together": rates[at_once]}


def tiny() -> None:
    """Make everything small: whether it runs is all that is asked."""
    global SIDE, COPIED, STEPS, BATCHES
    SIDE, COPIED, STEPS, BATCHES = 256, 1 << 20, 2, 2


def print_row(row: dict) -> None:
    """Print a line of the table."""
    options = "+".join(word for word, on in (("BN", row["bn"]), ("BM", row["bm"])) if on)
    text = f"{row['network']:<9} {options:<6}"
    for variant in (*OURS, *SYMMETRIC, *ASYMMETRIC):
        ms = row["ms"].get(variant)
        text += f" {'–' if ms is None else f'{1e3 * ms:.0f}':>8}"
    for kind in ("eager", "graph", "asymmetric", "asymmetric graph"):
        text += f" {row['ratio_to'][kind]:>7.2f}" if "ratio_to" in row else f" {'–':>7}"
    text += f" {row['launches']['minibp']:>7}"
    shares = (row["share_of_gemm_ceiling"], row["share_of_copy_ceiling"])
    print(f"{text} {100 * shares[0]:>6.0f} {100 * shares[1]:>6.0f}", flush=True)


HEAD = (
    f"{'network':<9} {'':<6} {'minibp':>8} {'launched':>8} {'eager':>8} {'ch.last':>8} "
    f"{'graph':>8} {'c.l. gr.':>8} {'asym.':>8} {'as. gr.':>8} {'× eager':>7} {'× graph':>7} "
    f"{'× asym.':>7} {'× as.g.':>7} {'kernels':>7} {'% GEMM':>6} {'% copy':>6}"
)


def main(args: argparse.Namespace) -> dict:
    """Print the tables and return everything that was measured."""
    if args.tiny:
        tiny()
    args.clock, args.device_of = Clock, lambda: get_device("cuda", args.kernels)
    device = args.device_of()
    peaks = ceilings(device, args.clock(device), args.tf32)
    print(
        f"{device.describe()['gpu']}, batch {args.batch_size}, {args.feedback}, "
        f"{'TF32' if args.tf32 else 'float32'}; "
        f"matrix products reach {peaks[0] / 1e3:.1f} TFLOP/s, copies "
        f"{peaks[1]:.0f} GB/s. Microseconds a step, medians.\n\n{HEAD}"
    )
    result: dict[str, Any] = {
        "device": device.describe(),
        "tf32": args.tf32,
        "gemm_gflops": peaks[0],
        "copy_gbs": peaks[1],
        "rows": [],
        "together": [],
    }

    def save() -> None:  # a machine that is lent may be gone before the end
        if args.json:
            write_json(args.json, result)

    for name in args.networks:
        for bn in (True,) if "resnet" in name else (False, True):  # without, twenty layers explode
            for bm in (False, True):
                result["rows"].append(measure(name, bn, bm, peaks, args))
                print_row(result["rows"][-1])
                save()
    print("\nFive runs at once, BN and BM: steps a second")
    for name in args.networks:
        row = together(name, 5, args)
        result["together"].append(row)
        save()
        ratio = row["together"] / row["one"]
        print(f"{name:<9} one {row['one']:>8.0f}, five {row['together']:>8.0f}: × {ratio:.2f}")
    if args.against:  # at the end: a profiler may slow down what comes after it
        print("\nKernels of an eager step of PyTorch")
        for row in result["rows"]:
            work = TorchStep("eager", row["network"], row["bn"], row["bm"], args)
            work()
            row["launches"]["eager"] = work.launches()
            print(f"{row['network']:<9} {TITLES[row['bn']]} BN {row['launches']['eager']:>5}")
    return result
