"""An experiment: one condition on one data set with each learning rate, kept in one folder.

The folder holds run.json (the record), curves.png, and for each run a sub-folder (rate-0.1/,
rate-0.1-schedule2/) with its own run.json and checkpoint.h5. Finished runs are skipped, cut ones
go on from their checkpoint.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minibp import checkpoint, plots, results
from minibp.conditions import Condition
from minibp.data import Data
from minibp.device import Device, check_dtype, get_device
from minibp.errors import InputError
from minibp.files import read_json, write_atomically, write_json
from minibp.models import input_shape
from minibp.ops.tiers import check_matmul
from minibp.schedule import (
    BASE_RATE,
    BATCH_SIZE,
    EPOCHS,
    FACTORS,
    BatchSchedule,
    batch_schedules,
    rate_drops,
)
from minibp.settings import Settings
from minibp.train import Plan, Run
from minibp.warmup import compile_kernels

DEFAULTS = dataclasses.asdict(Settings())


@dataclass(frozen=True)
class Experiment:
    """Everything that decides an experiment's numbers; the defaults are the paper's protocol."""

    dataset: str
    network: str
    condition: Condition
    seed: int = 0
    epochs: int = EPOCHS
    batch_size: int = BATCH_SIZE
    base_rate: float = BASE_RATE
    rate_factors: Sequence[float] = FACTORS
    rate_drops: Sequence[int] | None = None
    dtype: str = "float32"
    train_limit: int | None = None
    holdout: float | None = None
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        input_shape(self.network)
        check_dtype(self.dtype)
        if self.epochs < 1:
            raise InputError(f"epochs {self.epochs}: expected 1 or more.")
        if self.batch_size < 1:
            raise InputError(f"batch size {self.batch_size}: expected 1 or more.")
        if not 0 <= self.base_rate < float("inf"):
            raise InputError(f"base rate {self.base_rate}: expected a number of 0 or more.")
        if not self.rate_factors or any(not 0 <= f < float("inf") for f in self.rate_factors):
            raise InputError(f"rate factors {list(self.rate_factors)}: expected 0 or more each.")
        if len(set(self.rate_factors)) < len(self.rate_factors):
            raise InputError(f"rate factors {list(self.rate_factors)}: one is given twice.")
        drops = rate_drops(self.epochs) if self.rate_drops is None else self.rate_drops
        if any(drop < 0 for drop in drops):
            raise InputError(f"rate drops {list(drops)}: expected epochs of 0 or more.")
        object.__setattr__(self, "rate_factors", tuple(float(f) for f in self.rate_factors))
        object.__setattr__(self, "rate_drops", tuple(drops))

    def runs(self) -> list[tuple[str, float, BatchSchedule]]:
        """Return (sub-folder, rate factor, batch schedule) of each run."""
        schedules = batch_schedules(self.condition, self.batch_size)
        return [
            (f"rate-{factor:g}" + (f"-schedule{k + 1}" if k else ""), factor, schedule)
            for factor in self.rate_factors
            for k, schedule in enumerate(schedules)
        ]

    def plan(self, factor: float, schedule: BatchSchedule) -> Plan:
        """Return the plan of one run."""
        return Plan(
            self.network,
            self.condition,
            self.base_rate * factor,
            schedule,
            self.epochs,
            self.rate_drops,
            self.seed,
            self.dtype,
            self.settings,
        )

    def identity(self) -> dict[str, Any]:
        """Return what must agree for two records to be of the same experiment, JSON-able."""
        own = {
            "network": self.network,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "base_rate": self.base_rate,
            "rate_factors": list(self.rate_factors),
            "rate_drops": list(self.rate_drops),
            "dtype": self.dtype,
            "train_limit": self.train_limit,
            "holdout": self.holdout,
        }
        return {
            "dataset": self.dataset,
            "condition": str(self.condition),
            "seed": self.seed,
            "settings": own | dataclasses.asdict(self.settings),
        }


class Listener:
    """Told how an experiment goes on; the default hears nothing."""

    def compiling(self) -> None:
        """Called before kernels are compiled, which takes seconds and is needed once."""

    def run_begins(self, factor: float, index: int, of: int, run: Run) -> None:
        """Called before the first step of a run, with the epochs it has behind it."""

    def step(self, loss: float | None) -> None:
        """Called after each step."""

    def epoch_ends(self, run: Run) -> None:
        """Called when an epoch's record and checkpoint are written."""

    def run_ends(self, record: dict[str, Any]) -> None:
        """Called with a run's record, also of runs finished before."""


def run_experiment(
    experiment: Experiment,
    data: Data,
    folder: Path,
    *,
    device: Device | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Do all runs of an experiment that are not done yet, and return its record.

    Raises InputError if the folder holds another experiment, or this one and `resume` is not set.
    """
    listener, device = listener or Listener(), device or get_device("cpu")
    record, data = prepare(experiment, data, device)
    _check_folder(folder, record, resume)
    folder.mkdir(parents=True, exist_ok=True)
    runs, rates = experiment.runs(), []
    _write(folder, record, rates, finished=False)
    compile_kernels(experiment.plan(*runs[0][1:]), device, listener.compiling)
    for index, (name, factor, schedule) in enumerate(runs):
        begins = _announce(listener, factor, index, len(runs))
        plan = experiment.plan(factor, schedule)
        rates.append(do_run(folder / name, plan, factor, data, device, begins, listener))
        listener.run_ends(rates[-1])
        record = _write(folder, record, rates, finished=index + 1 == len(runs))
    write_atomically(folder / "curves.png", plots.learning_curves(record))
    return record


def prepare(experiment: Experiment, data: Data, device: Device) -> tuple[dict[str, Any], Data]:
    """Return the head of an experiment's record, and the part of the data that it is done on."""
    sha256 = data.sha256  # of the whole data set; what is taken of it stands in the settings
    data = data.reduced(experiment.train_limit, experiment.holdout, experiment.seed)
    data.check_fits(experiment.network, input_shape(experiment.network))
    check_matmul(device, experiment.settings.matmul, experiment.dtype)
    head = experiment.identity() | {
        "data": data.describe(),
        "data_sha256": sha256,
        "device": device.describe(),
        "versions": results.versions(),
    }
    return head, data


def collect(experiment: Experiment, head: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write and return the record of an experiment whose runs were done one by one; those that are
    not done are missing in it."""
    paths = [folder / name / "run.json" for name, *_ in experiment.runs()]
    rates = [read_json(path) for path in paths if path.exists()]
    return _write(folder, head, rates, finished=len(rates) == len(paths))


def _announce(listener: Listener, factor: float, index: int, of: int) -> Callable[[Run], None]:
    return lambda run: listener.run_begins(factor, index, of, run)


def do_run(
    folder: Path,
    plan: Plan,
    factor: float,
    data: Data,
    device: Device,
    begins: Callable[[Run], None] = lambda run: None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Do one run, or what is left of it, and return its record, which is then in the folder."""
    written, listener = folder / "run.json", listener or Listener()
    if written.exists():
        return read_json(written)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.h5"
    with device.working():
        run = Run(plan, data, device)
        state = checkpoint.load_latest(path)
        if state is not None:
            run.restore(*state)
        begins(run)
        while not run.finished:
            run.advance(listener.step)
            checkpoint.save(path, *run.state())
            listener.epoch_ends(run)
        launches, run.replay = run.launches, None  # its graphs, and their memory, end here
    record = results.run_record(
        factor, plan.rate, str(plan.batch_schedule), run.history, run.diverged_epoch
    ) | {"device": device.describe(), "versions": results.versions()}
    if launches is not None:
        record["launches"] = launches
    write_json(written, record)
    return record


def _write(folder: Path, record: dict, rates: list[dict], *, finished: bool) -> dict[str, Any]:
    record = record | {"finished": finished} | results.score(rates) | {"rates": rates}
    write_json(folder / "run.json", record)
    return record


def _check_folder(folder: Path, record: dict[str, Any], resume: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"the output folder {folder} is a file: choose another one with --out.")
    written = folder / "run.json"
    if not written.exists():
        if any(folder.iterdir()):
            raise InputError(
                f"the output folder {folder} holds other files: choose a new one with --out."
            )
        return
    before = read_json(written)
    changes = differences(before, record)
    if changes:
        raise InputError(
            f"{folder} holds another experiment: {'; '.join(changes)}. "
            "Choose another folder with --out."
        )
    if not resume:
        raise InputError(
            f"{folder} holds this very experiment: go on with --resume, or choose another folder "
            "with --out."
        )


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what differs between two records' identities, as "name: before, now"."""

    def flat(record: dict[str, Any]) -> dict[str, Any]:
        names = ("dataset", "condition", "seed", "data_sha256")
        settings = DEFAULTS | record.get("settings", {})  # of which older records have fewer
        return {name: record.get(name) for name in names} | settings

    old, new = flat(before), flat(now)
    return [
        f"{name} was {old.get(name)!r}, now {new.get(name)!r}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
