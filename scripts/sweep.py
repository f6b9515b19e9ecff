"""Run the paper's grid, or any part of it: conditions × data sets × learning rates × seeds.

    python scripts/sweep.py --tables 2 3 4 5 --datasets digits --workers 2
    python scripts/tables.py runs/sweep

Finished runs are never run again, cut ones go on from their checkpoint: to go on, or to run more
conditions, data sets or seeds, give the same --out again. --dry-run says what would be run, and
about how long it takes.
"""

import argparse
import contextlib
import dataclasses
import itertools
import sys
import time
import warnings
from pathlib import Path

from minibp_datasets import registry
from minibp_datasets.folder import why_none_fits
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from minibp import console
from minibp.device import KERNELS, Device, available_cores, get_device
from minibp.errors import DamagedFileError, InputError, counted
from minibp.experiments.bracket import beyond
from minibp.experiments.experiment import Experiment
from minibp.experiments.folder import HEAD, RECORD, changes_in
from minibp.experiments.job import DataSource, Job, Worker, folder_of, jobs_of
from minibp.experiments.kept import WEIGHTS
from minibp.experiments.sweep import Sweep, run_here
from minibp.experiments.workers import run_in_processes, run_on_cluster, run_side_by_side
from minibp.files import folder_name, read_json
from minibp.study import paper
from minibp.study.conditions import Condition
from minibp.study.networks import NETWORKS
from minibp.study.protocol import BASE_RATE, BATCH_SIZE, EPOCHS, FACTORS
from minibp.study.recipe import paper_experiment
from minibp.study.settings import Settings, changes_of
from minibp.training.run import Run
from minibp.training.warmup import rehearse

AT_ONCE = 5  # runs on a GPU: a condition's five learning rates
RECORD_BYTES = 200  # of a run's record, for each epoch and weighted layer
LAYERS = 5  # with weights, about


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="sweep.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    grid = parser.add_argument_group("what is run")
    add = grid.add_argument
    add("--tables", nargs="+", metavar="N", help="the conditions of the paper's tables: 2 3 4 5")
    add("--conditions", nargs="+", metavar="HEAD", help='or these: "frSF-25+BN+BM2 Bottom" …')
    add("--datasets", nargs="+", metavar="NAME", help=f"{', '.join(registry.names())}, …")
    add("--unverified", nargs="+", default=[], metavar="NAME", help="copies, as in train.py")
    add(
        "--data-dir",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="folder or archive with a data set's original files; may be given for each",
    )
    add("--network", help="as in train.py (default: each data set's own)")
    add("--seeds", type=int, default=1, metavar="N", help="how many (default: 1)")
    add("--first-seed", type=int, default=0, metavar="K", help="they are K … K+N−1 (default: 0)")
    add(
        "--rate-factors",
        type=float,
        nargs="+",
        default=list(FACTORS),
        metavar="F",
        help=f"(Sec. 5; default: {' '.join(f'{f:g}' for f in FACTORS)})",
    )
    add(
        "--bracket",
        type=int,
        nargs="?",
        const=1,
        metavar="N",
        help="then try more rates, N to a factor of ten (1 if not given), while the best one of an "
        "experiment is at an edge of those tried; --holdout decides which is best, if given",
    )
    add("--epochs", type=int, default=EPOCHS, help=f"(Sec. 5; default: {EPOCHS})")
    add("--batch-size", type=int, default=BATCH_SIZE, help=f"(Sec. 5; default: {BATCH_SIZE})")
    add("--train-limit", type=int, metavar="N", help="train on N samples, drawn by the seed")
    add("--holdout", type=float, metavar="SHARE", help="for honest scores, as in train.py")
    add("--diagnose-every", type=int, metavar="K", help="as in train.py")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="as in train.py")

    how = parser.add_argument_group("how")
    add = how.add_argument
    add("--out", type=Path, default=Path("runs/sweep"), help="folder (default: runs/sweep)")
    add(
        "--workers",
        type=int,
        help="processes of one thread each (default: as many as cores, with a GPU 0; 0: one run "
        "after the other in this process, or --at-once side by side)",
    )
    add(
        "--at-once",
        type=int,
        metavar="N",
        help="runs side by side on a GPU, each on a stream of its own (default: 5; on a CPU 1)",
    )
    add(
        "--scheduler", metavar="ADDRESS", help="a running Dask scheduler, tcp://… (docs/cluster.md)"
    )
    add("--device", default="cpu", help="cpu, cuda or auto, on the workers (default: cpu)")
    add("--kernels", choices=KERNELS, default="auto", help="of the CPU, as in train.py")
    add("--threads", type=int, default=1, help="of each worker's kernels (default: 1)")
    add("--keep-weights", action="store_true", help="keep finished runs' weights, for predict.py")
    add("--dry-run", action="store_true", help="list the runs, and estimate time and disk")
    add("--quiet", action="store_true", help="no live display")
    return parser


def sources_of(args: argparse.Namespace) -> list[DataSource]:
    """Return the data sets; raise InputError for contradictory or unknown flags."""
    names = args.datasets or ([] if args.unverified else ["digits"])
    names = list(dict.fromkeys([*names, *args.unverified]))
    places = {}
    for text in args.data_dir:
        name, equals, path = text.partition("=")
        if not equals or name not in names:
            raise InputError(f"--data-dir {text!r}: expected NAME=PATH, NAME one of {names}.")
        places[name] = str(Path(path).absolute())  # workers may have other working folders
    settings = settings_of(args)
    sources = []
    for name in names:
        options = {"resize": settings.resize, "seed": settings.protocol_seed, "quiet": True}
        if name in places:
            options["data_dir"] = places[name]
        if name in args.unverified:
            options["unverified"] = True
        if args.network in NETWORKS:  # images in folders are brought to its size
            options["network"] = args.network
        sources.append(DataSource(name, tuple(sorted(options.items()))))
    return sources


def who_works(args: argparse.Namespace, device: str) -> tuple[int, int]:
    """Return how many processes do the runs, and, if none but this one, how many runs at once."""
    gpu = device == "cuda"
    at_once = args.at_once or (AT_ONCE if gpu else 1)
    if args.at_once is not None and args.at_once < 1:
        raise InputError(f"--at-once {args.at_once}: expected 1 or more.")
    if args.at_once is not None and args.workers:
        raise InputError(f"--at-once {args.at_once} is for one process: leave out --workers.")
    if at_once > 1 and not gpu:
        raise InputError(
            f"--at-once {at_once} is for a GPU (--device cuda); for a CPU's cores: --workers."
        )
    if args.workers is None:
        return 0 if gpu else available_cores(), at_once
    return args.workers, at_once


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings that --set and --diagnose-every describe."""
    changes, every = changes_of(args.set), args.diagnose_every
    if every is not None and changes.setdefault("diagnose_every", every) != every:
        raise InputError(
            f"--set diagnose_every={changes['diagnose_every']} contradicts --diagnose-every "
            f"{every}."
        )
    return Settings().replace(**changes)


def conditions_of(args: argparse.Namespace) -> list[Condition]:
    """Return the conditions of the tables, and those by name; by default all of the paper's."""
    found = paper.conditions(*args.tables) if args.tables else []
    found += [Condition.parse(head) for head in args.conditions or []]
    return list(dict.fromkeys(found)) or paper.conditions()


def experiments_of(args: argparse.Namespace) -> list[tuple[Experiment, DataSource]]:
    """Return the experiments with their data; data sets are fetched here, once."""
    if args.workers is not None and args.workers < 0:
        raise InputError(f"--workers {args.workers}: expected 0 or more.")
    if args.bracket is not None and args.bracket < 1:
        raise InputError(f"--bracket {args.bracket}: expected 1 or more rates to a factor of ten.")
    if args.seeds < 1:
        raise InputError(f"--seeds {args.seeds}: expected 1 or more.")
    if args.first_seed < 0:
        raise InputError(f"--first-seed {args.first_seed}: expected 0 or more.")
    conditions, settings = conditions_of(args), settings_of(args)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    found = []
    for source in sources_of(args):
        data = source.load(registry.load)
        source = dataclasses.replace(source, sha256=data.sha256)
        network = args.network or data.network
        if network is None:
            shape = data.X_train.shape[1:]
            raise InputError(f"data set {source.name!r}: {why_none_fits(shape)}")
        data.reduced(args.train_limit, args.holdout, 0)  # raises before any work is begun
        for condition, seed in itertools.product(conditions, seeds):
            experiment = paper_experiment(
                dataset=source.name,
                network=network,
                condition=condition,
                seed=seed,
                epochs=args.epochs,
                batch_size=args.batch_size,
                base_rate=BASE_RATE,
                rate_factors=args.rate_factors,
                train_limit=args.train_limit,
                holdout=args.holdout,
                settings=settings,
            )
            found.append((experiment, source))
    return found


def dry_run(sweep: Sweep, workers: int, worker: Worker) -> None:
    """Print the runs that are left, and about how long they and their records take."""
    seconds, size, told = {}, 0.0, set()
    for job in sweep.left.values():
        experiment = job.experiment
        kind = (job.source.name, experiment.recipe.condition.bn)
        if kind not in seconds:
            try:
                seconds[kind] = seconds_of_an_epoch(job, worker)
            except InputError as error:  # the real sweep names it, and does the others
                if str(error) not in told:
                    print(f"cannot be run: {error}", file=sys.stderr)
                told.add(str(error))
                continue
        size += experiment.recipe.epochs * LAYERS * RECORD_BYTES
        print(f"{job.source.name}  {experiment.recipe.name}  seed {experiment.seed}  {job.trial}")
    total = sum(
        seconds.get((job.source.name, job.experiment.recipe.condition.bn), 0.0)
        * job.experiment.recipe.epochs
        for job in sweep.left.values()
    )
    print(
        f"\n{len(sweep.left)} runs left of {len(sweep.jobs)}; about {duration(total / workers)} "
        f"with {workers} workers, diverged runs excepted, which end early; about "
        f"{2 * size / 1e6:.0f} MB of records"
    )


def seconds_of_an_epoch(job: Job, worker: Worker) -> float:
    """Return the seconds of an epoch, from a few steps of training and of evaluation."""
    recipe = dataclasses.replace(job.experiment.recipe, rate=0.0)
    data, batch = job.source.load(registry.load), recipe.batches.size
    small = data.reduced(min(len(data.y_train), 5 * batch), None, 0)
    small = dataclasses.replace(small, X_test=small.X_test[:200], y_test=small.y_test[:200])
    device = get_device(worker.device, worker.kernels, worker.threads)
    run = Run(recipe, small, device)
    with threadpool_limits(worker.threads):
        run.train_epoch(1)
        start = time.perf_counter()
        run.train_epoch(1)
        training = (time.perf_counter() - start) / run.steps_per_epoch(1)
        ((X, _),) = run.feeds["train"].batches([batch])
        start = time.perf_counter()
        run.network.forward(X, train=True)  # takes about as long as one to evaluate
        device.synchronize()
        testing = time.perf_counter() - start
    samples = job.experiment.train_limit or len(data.y_train)
    moments = recipe.settings.bn_batches if run.network.batch_norms() else 0
    return (samples / batch) * training + (len(data.y_test) / batch + moments) * testing


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(5000), duration(200), duration(7)
    ('1.4 hours', '3.3 minutes', '7 seconds')
    """
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


class Display:
    """The live display: runs done, running, failed, time left."""

    def __init__(self, sweep: Sweep, quiet: bool):
        self.bar = tqdm(
            desc="runs",
            total=sweep.progress.total,
            initial=sweep.progress.done,
            unit="run",
            disable=True if quiet else None,
            smoothing=0,
        )

    def __call__(self, sweep: Sweep) -> None:
        """Show how far the sweep is."""
        progress = sweep.progress
        self.bar.update(progress.done + progress.failed - self.bar.n)
        self.bar.set_postfix_str(f"{progress.running} running, {progress.failed} failed")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = build_parser().parse_args(argv)
    warnings.showwarning = console.one_line
    args.out = args.out.absolute()  # workers may have other working folders
    worker = Worker(args.device, args.kernels, args.threads, args.keep_weights)
    try:
        device = get_device(args.device, args.kernels, args.threads) if not args.scheduler else None
        console.tell(device.note if device else "")
        worker = dataclasses.replace(worker, device=device.name) if device else worker
        workers, at_once = who_works(args, worker.device)
        experiments = experiments_of(args)
        check(args.out, experiments)
        sweep = Sweep(jobs_of(experiments, args.out), registry.load, worker)
        if args.dry_run:
            dry_run(sweep, max(1, workers), worker)
            return 0
        if device is not None and sweep.left:
            compile_one(sweep, device)
        args.out.mkdir(parents=True, exist_ok=True)
        start, jobs, errors = time.perf_counter(), [], []
        while True:
            display = Display(sweep, args.quiet)
            run(sweep, display, args.scheduler, workers, at_once)
            sweep.finish()
            display.bar.close()
            jobs += sweep.jobs
            errors += sweep.progress.errors
            experiments = beyond_edges(sweep, args.bracket)
            if not experiments:
                break
            sweep = Sweep(jobs_of(experiments, args.out), registry.load, worker)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        return 130
    if args.keep_weights and (bare := [job for job in jobs if job.done and not has_weights(job)]):
        print(
            f"note: the weights of {counted(len(bare), 'run')} were not kept, since they were done "
            "before, without --keep-weights: to have them, run them again into a new folder.",
            file=sys.stderr,
        )
    for outcome in errors:
        print(f"failed: {outcome.job.place}: {outcome.error}", file=sys.stderr)
    print(
        f"{len(jobs) - len(errors)} of {len(jobs)} runs done, {len(errors)} failed; "
        f"{duration(time.perf_counter() - start)}; python scripts/tables.py {args.out}"
    )
    return 1 if errors else 0


def run(sweep: Sweep, display: Display, scheduler: str | None, workers: int, at_once: int) -> None:
    """Do a sweep's jobs by those who work."""
    if scheduler:
        run_on_cluster(sweep, display, scheduler)
    elif at_once > 1:
        run_side_by_side(sweep, display, at_once)
    elif workers > 1:
        run_in_processes(sweep, display, workers)
    else:
        run_here(sweep, display)


def beyond_edges(sweep: Sweep, per_decade: int | None) -> list[tuple[Experiment, DataSource]]:
    """Return the sweep's experiments whose best rate is at an edge, with the rates to try next;
    those with a failed run are left as they are."""
    if per_decade is None:
        return []
    failed = {outcome.job.folder for outcome in sweep.progress.errors}
    folders = {job.folder: (job.experiment, job.source) for job in sweep.jobs}
    found = []
    for folder, (experiment, source) in folders.items():
        if folder not in failed:
            more = beyond(read_json(folder / RECORD), per_decade)
            if more:
                found.append((dataclasses.replace(experiment, rate_factors=more), source))
    return found


def has_weights(job: Job) -> bool:
    """Return whether a run's weights are kept; one that diverged at once has none."""
    diverged = read_json(job.place / RECORD)["diverged_epoch"]
    return diverged == 1 or (job.place / WEIGHTS["best"]).exists()


def compile_one(sweep: Sweep, device: Device) -> None:
    """Compile the kernels here, before the workers need them, by the first run that can be set up;
    what is wrong with others is told when it is their turn.

    Raises InputError if none can be.
    """
    errors = []
    for job in {job.folder: job for job in sweep.left.values()}.values():
        try:
            data = job.source.load(registry.load)
            compiling = lambda: print("compiling …", file=sys.stderr)  # noqa: E731
            rehearse(job.experiment.recipe, data, device, compiling)
            return
        except InputError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def check(folder: Path, experiments: list[tuple[Experiment, DataSource]]) -> None:
    """Raise InputError if the folder has other data of these names, or other experiments in the
    place of all of these; where it is some, they are told when it is their turn."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file: choose a folder.")
    for source in {source.name: source for _, source in experiments}.values():
        for path in sorted((folder / folder_name(source.name)).glob(f"*/*/{HEAD}")):
            with contextlib.suppress(DamagedFileError):
                head = read_json(path)
                before = head.get("data_sha256") if isinstance(head, dict) else None
                if before not in (None, source.sha256):
                    raise InputError(
                        f"{path.parent} holds another experiment: data_sha256 was {before!r}, now "
                        f"{source.sha256!r}. Choose another folder with --out."
                    )
    refused = []
    for experiment, source in experiments:
        place = folder_of(experiment, folder)
        changes = changes_in(place, experiment, source.sha256)
        if not changes:
            return
        refused.append(
            f"{place} holds another experiment: {'; '.join(changes)}. Choose another folder with "
            "--out."
        )
    raise InputError(refused[0])


if __name__ == "__main__":
    sys.exit(console.run(main))
