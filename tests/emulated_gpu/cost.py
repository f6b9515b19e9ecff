"""What a step should take on a GPU, by a model. Nothing here is measured on one.

    EMU_CHECK=1 python tests/emulated_gpu/emulator.py tests/emulated_gpu/cost.py [NETWORK …]

The emulator counts each kernel's PTX instructions (a division is 20) and the bytes that its threads
ask for, and, for a sample of warps, in how many sectors of 32 bytes these lie. Those of a small
batch are scaled to one of 100. A kernel takes the longest of:

- the least that a kernel takes in a graph;
- its instructions, on as many multiprocessors as it has blocks, with few warps slower;
- its sectors at the rate of the second-level cache.

A product takes its multiplications at a share of the peak that its shape allows, or its bytes.
"""

import argparse
import sys

import numpy as np

from minibp import get_device
from minibp.study.conditions import Condition
from minibp.study.networks import NETWORKS, input_shape
from minibp.study.recipe import PaperRecipe
from minibp.study.settings import Settings
from minibp.training.data import Data
from minibp.training.run import Run
from minibp.training.schedule import BatchSchedule

# An H100 SXM: multiprocessors, clock, lanes, bytes a second of cache and memory, float32's peak.
SMS, CLOCK, LANES, L2, DRAM, PEAK = 132, 1.755e9, 128, 5.5e12, 3.35e12, 67e12
LEAST = 1.8e-6  # seconds of a kernel in a graph, with the step from the one before
SECTOR, REQUEST = 32, 32 * 4  # bytes; a warp asks for one number for each of its 32 threads
HIDING = 512  # threads of a multiprocessor that hide most of the memory's latency
SLOWEST, EFFICIENCY = 0.06, 0.7  # of the instructions' rate: with few threads; at best
TILES, SHARE = 64, 0.75  # a product's tiles, and the share of the peak that large ones reach
BATCH = 100


def kernel_seconds(row: list[float]) -> tuple[float, str]:
    """Return what a kernel takes, and what limits it."""
    n, blocks, threads, instructions, loaded, stored, *requests = row
    asked, sectors = requests[0::2], requests[1::2]
    spread = [s / a if a else 0 for s, a in zip(sectors, asked, strict=True)]
    traffic = sum(
        size / REQUEST * s * SECTOR for size, s in zip((loaded, stored), spread, strict=True)
    )
    used = min(SMS, max(1, blocks / n))
    busy = max(SLOWEST, min(1.0, threads / n / used / HIDING))
    limits = {
        "launch": n * LEAST,
        "instructions": instructions / (used * LANES * CLOCK * busy * EFFICIENCY),
        "sectors": traffic / (L2 * min(1, 1.2 * used / SMS)),
    }
    worst = max(limits, key=lambda name: limits[name])
    return limits[worst], worst


def product_seconds(m: int, n: int, k: int) -> float:
    """Return what a product (m, k) by (k, n) takes."""
    share = SHARE * np.prod([min(1, side / TILES) ** 0.5 for side in (m, n, k)])
    return max(1.5 * LEAST, 2.0 * m * n * k / PEAK / share, 4.0 * (m * k + n * k + m * n) / DRAM)


def step_of(network: str, head: str, batch: int) -> tuple[dict[str, list[float]], list[tuple]]:
    """Return the counts of each kernel of a step, and its products' sizes."""
    driver = sys.modules["emulator_driver"]  # which emulator.py made
    rng, classes = np.random.default_rng(0), {"image119": 102, "timit": 80}.get(network, 10)
    X = rng.integers(0, 256, (max(2 * batch, classes), *input_shape(network))).astype("uint8")
    y = np.arange(len(X)) % classes
    data = Data("toy", X, y, X[:1], y[:1], classes)
    recipe = PaperRecipe(
        model=network,
        condition=Condition.parse(head),
        rate=1e-4,
        batches=BatchSchedule(batch),
        settings=Settings(init="he", preprocess="mean"),
    )
    run = Run(recipe, data, get_device("cuda"))
    products: list[tuple] = []
    blas = run.network.ops.blas.product

    def product(A, B, C, transposed):
        products.append((*C.shape, A.size // C.shape[0], transposed))
        blas(A, B, C, transposed)

    with run.device.working():
        run.feeds["train"].begin(None)
        run.launch_step(batch)  # compiles
        run.network.ops.blas.product = product
        run.feeds["train"].begin(None)
        run.device.synchronize()
        driver.emu_forget()
        run.launch_step(batch)
        run.device.synchronize()
    rows = {}
    for line in driver.emu_counts().decode().splitlines():
        name, *numbers = line.split()
        if not name.startswith("gemm"):
            rows[name] = [float(number) for number in numbers]
    return rows, products


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--head", default="frSF+BN+BM")
    parser.add_argument("--batch", type=int, default=4, help="that is run, and scaled (default: 4)")
    args = parser.parse_args()
    times = BATCH / args.batch
    for network in args.networks:
        kernels, products = step_of(network, args.head, args.batch)
        rows = []
        for name, (n, *numbers) in kernels.items():
            scale = 1 if name == "update_and_refresh" else times  # which goes by weights
            scaled = [n, *(scale * number for number in numbers[:5]), *numbers[5:]]
            seconds, limit = kernel_seconds(scaled)
            rows.append((seconds, f"{name} × {n:.0f}", sum(scaled[4:6]), scaled[3], limit))
        for m, n, k, (turned, _) in products:
            # The batch is in the rows of N and dX, and in the sums of dW.
            m, k = (m, times * k) if turned else (times * m, k)
            seconds, size = product_seconds(m, n, k), 4.0 * (m * k + n * k + m * n)
            rows.append((seconds, f"product {m:.0f} × {n} × {k:.0f}", size, m * n * k, "product"))
        total = sum(row[0] for row in rows)
        count = sum(row[0] for row in kernels.values()) + len(products)
        size = sum(row[2] for row in rows)
        print(f"\n{network}, {args.head}, batch {BATCH}: {1e6 * total:.0f} µs a step by the model;")
        print(f"{count:.0f} kernels, {size / 1e6:.0f} MB asked for")
        print(f"{'µs':>8}  {'kernel':<32} {'MB':>9} {'10⁶ instr.':>10}  limit")
        for seconds, name, size, instructions, limit in sorted(rows, reverse=True)[:12]:
            numbers = f"{size / 1e6:>9.2f} {instructions / 1e6:>10.1f}"
            print(f"{1e6 * seconds:>8.1f}  {name:<32} {numbers}  {limit}", flush=True)


if __name__ == "__main__":
    main()
