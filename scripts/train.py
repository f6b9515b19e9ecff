"""Train one condition of the paper with each learning rate, and report the best error.

    python scripts/train.py --feedback frSF --bn --bm

trains on real handwritten digits, without a network: a table, a record (run.json), checkpoints and
a picture (curves.png) are left in a folder below runs/.
"""

import argparse
import dataclasses
import errno
import re
import shlex
import sys
import warnings
from pathlib import Path

from minibp_datasets import registry
from minibp_datasets.folder import why_none_fits
from tqdm import tqdm

from minibp import console
from minibp.device import KERNELS, get_device, without_numba
from minibp.errors import InputError
from minibp.experiments import results
from minibp.experiments.experiment import Experiment, Trial
from minibp.experiments.folder import changes_in, head_of
from minibp.experiments.sweep import run_experiment
from minibp.experiments.trial import Listener
from minibp.feedback import RULES
from minibp.files import folder_name
from minibp.plugins import PLUGINS
from minibp.study import zoo
from minibp.study.conditions import Condition
from minibp.study.networks import NETWORKS, get_network
from minibp.study.protocol import BASE_RATE, BATCH_SIZE, EPOCHS, FACTORS
from minibp.study.recipe import paper_experiment
from minibp.study.settings import Settings, changes_of
from minibp.training.run import Run


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; each help text names the section of the paper it follows."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    data = parser.add_argument_group("data and network")
    data.add_argument(
        "--dataset",
        help=f"{', '.join(registry.names())}, or {', '.join(registry.OWN)} (Sec. 5; default: "
        "digits; see scripts/data.py list)",
    )
    data.add_argument(
        "--unverified",
        metavar="NAME",
        help="instead of --dataset: a copy or part of a data set that is not the published one, "
        "under a name of its own that begins with the original's, such as cifar10-jpeg",
    )
    data.add_argument(
        "--data-dir",
        type=Path,
        help="folder or archive with the data set's original files, not downloaded",
    )
    data.add_argument(
        "--network",
        help=f"{', '.join(NETWORKS)} (Table 1; default: the data set's own), "
        f"{', '.join(zoo.ZOO)}, mlp-500-300 and the like, or my_net.py:small",
    )
    data.add_argument(
        "--train-limit", type=int, metavar="N", help="train on N samples, drawn by the seed"
    )
    data.add_argument(
        "--holdout",
        type=float,
        metavar="SHARE",
        help="hold out this share of the training set, and report beside the paper's score (Sec. "
        "5) the honest one: rate and epoch chosen on that share",
    )
    data.add_argument(
        "--preprocess",
        choices=Settings.choices("preprocess"),
        help="how pixels become inputs (Sec. 5 is silent; default: auto)",
    )

    learning = parser.add_argument_group("how it learns")
    learning.add_argument(
        "--feedback",
        metavar="RULE",
        help=f"{', '.join(RULES)}, or my_rules.py:MyRule: how V follows from W (Sec. 2; default: "
        "BP)",
    )
    learning.add_argument(
        "--p", type=float, help="probability that a feedback sign is flipped, 0 to 1 (Sec. 2)"
    )
    learning.add_argument("--bn", action="store_true", help="Batch Normalization (Sec. 3)")
    learning.add_argument(
        "--bn-affine",
        choices=("auto", "on", "off"),
        help="learnable BN scale and shift (Sec. 3; default: auto, in plain BN and BN+BM alone)",
    )
    learning.add_argument(
        "--bm",
        nargs="?",
        type=int,
        const=1,
        choices=(1, 2, 3),
        help="Batch Manhattan, and which setting of Eq. 3 (Sec. 3; 1 if not given)",
    )
    learning.add_argument(
        "--update",
        nargs="+",
        metavar="NAME",
        help=f"{', '.join(PLUGINS)}, or my_updates.py:MyPlugin: what is made of gradients "
        "before momentum, or of W after an update; several are applied in order",
    )
    learning.add_argument(
        "--freeze",
        choices=("bottom", "top"),
        help="bottom: the last layer is frozen; top: all others are (Sec. 5, Experiment C2)",
    )
    learning.add_argument(
        "--condition",
        metavar="HEAD",
        help='all of these in one, as in the column heads of Tables 2-5: "frSF-25+BN+BM2 Bottom"',
    )
    learning.add_argument(
        "--momentum", type=float, help=f"m of Eq. 3 (Sec. 5; default: {Settings().momentum})"
    )
    learning.add_argument(
        "--weight-decay", type=float, help=f"d of Eq. 3 (default: {Settings().weight_decay})"
    )
    learning.add_argument(
        "--gradient",
        choices=Settings.choices("gradient"),
        help="of a batch: Eq. 3 has the sum, the paper's engine the mean (default: mean)",
    )
    learning.add_argument(
        "--init", help="initial W: paper, he, xavier, or a standard deviation (Sec. 5 is silent)"
    )

    schedule = parser.add_argument_group("schedule (Sec. 5)")
    schedule.add_argument("--epochs", type=int, default=EPOCHS, help=f"(Sec. 5; default: {EPOCHS})")
    schedule.add_argument(
        "--batch-size", type=int, default=BATCH_SIZE, help=f"(Sec. 5; default: {BATCH_SIZE})"
    )
    schedule.add_argument(
        "--base-rate",
        type=float,
        default=BASE_RATE,
        help=f"learning rate at factor 1 (Sec. 5; default: {BASE_RATE:g})",
    )
    schedule.add_argument(
        "--rate-factors",
        type=float,
        nargs="+",
        default=list(FACTORS),
        metavar="F",
        help=f"a run for each (Sec. 5; default: {' '.join(f'{f:g}' for f in FACTORS)})",
    )
    schedule.add_argument(
        "--rate-drops",
        type=int,
        nargs="*",
        metavar="EPOCH",
        help="divide the rate by 10 after each of these (Sec. 5; default: 50 and 60 of 65 epochs, "
        "in proportion for others)",
    )

    running = parser.add_argument_group("running")
    running.add_argument("--seed", type=int, default=0, help="of all random numbers (default: 0)")
    running.add_argument(
        "--device", default="cpu", help="cpu, cuda, or auto: a GPU if there is one (default: cpu)"
    )
    running.add_argument(
        "--kernels",
        choices=KERNELS,
        default="auto",
        help="compiled (by Numba, or of CUDA C on a GPU), or plain array code (default: auto, "
        "compiled, on the CPU if Numba is installed)",
    )
    running.add_argument(
        "--threads",
        type=int,
        help="of the compiled kernels (default: as many as there are cores for this process)",
    )
    running.add_argument(
        "--dtype", default="float32", help="float32, or float64 to check (default: float32)"
    )
    running.add_argument(
        "--out", type=Path, help="folder for the results (default: a new one below runs/)"
    )
    running.add_argument(
        "--resume", action="store_true", help="go on where the same experiment was cut off"
    )
    running.add_argument(
        "--diagnose-every",
        type=int,
        metavar="K",
        help="compare V with W, and errors and updates with backpropagation's, every K steps of "
        "the first epoch, besides the end of each (for more: --set diagnose_epochs=N)",
    )
    running.add_argument("--quiet", action="store_true", help="print the last line only")
    running.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change any other setting of docs/assumptions.md, such as bn_eps=1e-3",
    )
    return parser


def condition_of(args: argparse.Namespace) -> Condition:
    """Return the condition that the flags describe; contradictory flags raise InputError."""
    if args.p is not None and args.feedback is None and args.condition is None:
        raise InputError("--p needs a rule with a flip probability, such as --feedback brSF.")
    flags = {
        "feedback": args.feedback,
        "p": args.p,
        "bn": args.bn or None,
        "bn_affine": args.bn_affine,
        "bm": args.bm,
        "freeze": args.freeze,
        "updates": tuple(args.update) if args.update else None,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    if args.condition is None:
        condition = Condition(**given)
    else:
        condition = Condition.parse(args.condition)
        both = dataclasses.replace(condition, **given)
        if both != condition:
            words = " ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InputError(
                f"--condition {args.condition!r} contradicts {words}: together with it they would "
                f"give {str(both)!r}. Give one or the other."
            )
    if args.bn_affine is not None and not condition.bn:
        raise InputError("--bn-affine needs --bn: there is no BN to scale and shift.")
    return condition


def dataset_of(args: argparse.Namespace) -> str:
    """Return the name of the data set, or of the copy."""
    if args.unverified is not None and args.dataset is not None:
        raise InputError("--unverified is given instead of --dataset, not beside it.")
    return args.unverified or args.dataset or "digits"


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings that the flags and --set describe."""
    flags = ("gradient", "momentum", "weight_decay", "init", "preprocess", "diagnose_every")
    changes = {name: getattr(args, name) for name in flags if getattr(args, name) is not None}
    for name, value in changes_of(args.set).items():
        if name in changes and changes[name] != value:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"--set {name}={value} contradicts {flag}.")
        changes[name] = value
    return Settings().replace(**changes)


def experiment_of(args: argparse.Namespace, network: str) -> Experiment:
    """Return the experiment that the flags describe."""
    return paper_experiment(
        dataset=dataset_of(args),
        network=network,
        condition=condition_of(args),
        seed=args.seed,
        epochs=args.epochs,
        batch_size=args.batch_size,
        base_rate=args.base_rate,
        rate_factors=args.rate_factors,
        rate_drops=args.rate_drops,
        dtype=args.dtype,
        train_limit=args.train_limit,
        holdout=args.holdout,
        settings=settings_of(args),
    )


def choose_folder(experiment: Experiment, resume: bool) -> Path:
    """Return a new folder below runs/; with `resume`, the newest of this experiment if any.

    Raises InputError, with `resume`, if there is none of it, but one of another text of its files.
    """
    dataset = registry.short(experiment.dataset)
    name = f"{dataset}-{experiment.recipe.name}-seed{experiment.seed}"
    first = Path("runs") / folder_name(name)
    folders = [first]
    while folders[-1].exists():
        folders.append(first.with_name(f"{first.name}-{len(folders) + 1}"))
    if resume:
        edited = ""
        for folder in reversed(folders[:-1]):
            if head_of(folder) is not None:
                changes = changes_in(folder, experiment, None)
                if not changes:
                    return folder
                if all(
                    re.match(r"the \w+'s text was|texts of files was", text) for text in changes
                ):
                    edited = edited or f"{folder}: {'; '.join(changes)}"
        if edited:
            raise InputError(
                f"{edited}. To go on, put the old text back; to begin anew, leave out --resume."
            )
    return folders[-1]


class Progress(Listener):
    """A progress bar for each run, with loss and error."""

    def __init__(self) -> None:
        self.bar = None

    def compiling(self) -> None:
        print("compiling the CPU kernels: some seconds, once on this machine …", file=sys.stderr)

    def trial_begins(self, trial: Trial, number: int, total: int, run: Run) -> None:
        sizes = [run.steps_per_epoch(epoch) for epoch in range(1, trial.recipe.epochs + 1)]
        self.bar = tqdm(
            desc=f"rate factor {trial.factor:g} ({number} of {total})",
            total=sum(sizes),
            initial=sum(sizes[: len(run.history)]),
            unit="step",
            disable=None,  # on a terminal only
        )
        self._show(run)

    def step(self, loss: float | None) -> None:
        self.bar.update()

    def epoch_ends(self, run: Run) -> None:
        self._show(run)

    def trial_ends(self, record: dict) -> None:
        if self.bar is not None:
            self.bar.close()

    def _show(self, run: Run) -> None:
        if run.history:
            last, best = run.history[-1], min(row["error"] for row in run.history)
            loss = "diverged" if last["loss"] is None else f"{last['loss']:.4f}"
            epoch = f"epoch {last['epoch']}, loss {loss}, error {last['error']:.2f} %"
            self.bar.set_postfix_str(f"{epoch}, best {best:.2f} %")


def device_text(device: dict, rates: list[dict]) -> str:
    """Return a record's device in words, and how a GPU did its steps."""
    if device["name"] != "cpu":
        how = {f"launches: {rate['launches']}" for rate in rates if "launches" in rate}
        return "; ".join([device.get("gpu", device["name"]), *sorted(how)])
    threads = f" on {device['threads']} threads" if device["kernels"] == "compiled" else ""
    return f"cpu, {device['kernels']} kernels{threads}"


def print_report(record: dict, folder: Path) -> None:
    """Print the closing table and where the results are."""
    data = record["data"]
    held = data["holdout"]
    print(f"\n{record['condition']} on {record['dataset']}: {data['note']}")
    print(
        f"{data['train']} training samples"
        + (f" ({held} more held out)" if held else "")
        + f", {data['test']} test samples; {record['settings']['epochs']} epochs, "
        f"network {record['settings']['network']}, seed {record['seed']}, "
        f"{device_text(record['device'], record['rates'])}\n"
    )
    print(results.table(record["rates"]))
    if record["honest_error"] is not None:
        print(
            f"\nhonest error: {record['honest_error']:.2f} % (rate factor "
            f"{record['honest_factor']:g}, epoch {record['honest_epoch']}, chosen on the {held} "
            "held-out samples; the best error below is of the reduced training set too)"
        )
    print(f"\nrecord, checkpoints and curves.png: {folder}")
    print(f"to use the best weights: python scripts/predict.py {shlex.quote(str(folder))} FILES")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = build_parser().parse_args(argv)
    warnings.showwarning = console.one_line
    folder = args.out
    try:
        if args.network is not None:
            get_network(args.network)
        device = get_device(args.device, args.kernels, args.threads)
        console.tell(device.note)
        if args.kernels == "auto" and device.name == "cpu" and (why := without_numba()):
            print(f"note: training is slower without Numba, {why}", file=sys.stderr)
        condition_of(args)  # before the data, which may take a download
        settings = settings_of(args)
        data = registry.load(
            dataset_of(args),
            data_dir=args.data_dir,
            quiet=args.quiet,
            unverified=args.unverified is not None,
            resize=settings.resize,
            seed=settings.protocol_seed,
            network=args.network if args.network in NETWORKS else None,
        )
        network = args.network or data.network
        if network is None:
            raise InputError(why_none_fits(data.X_train.shape[1:]))
        experiment = experiment_of(args, network)
        folder = args.out or choose_folder(experiment, args.resume)
        if args.resume and not folder.exists():
            print(f"note: nothing to resume in {folder}: the runs begin anew.", file=sys.stderr)
        record = run_experiment(
            experiment,
            data,
            folder,
            device=device,
            resume=args.resume,
            listener=Listener() if args.quiet else Progress(),
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = "the same command" + (f" with --out {folder} --resume" if folder else "")
        print(f"\ninterrupted; to go on: {again}")
        return 130
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        when = "when there is room again" if full else "once that is mended"
        again = (
            f". What was finished is kept; {when}, go on with the same command and --out {folder} "
            "--resume"
        )
        print(f"error: {error}{again if folder else ''}", file=sys.stderr)
        return 1
    if not args.quiet:
        print_report(record, folder)
    print(
        f"best error: {record['best_error']:.2f} % (rate factor {record['best_factor']:g}, "
        f"epoch {record['best_epoch']})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(console.run(main))
