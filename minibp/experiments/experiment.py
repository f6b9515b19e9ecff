"""An experiment: one condition on one data set with each learning rate, kept in one folder.

The folder holds run.json (the record), curves.png, and for each run a sub-folder (rate-0.1/,
rate-0.1-schedule2/) with its own run.json and checkpoint.h5. Finished runs are skipped, cut ones
go on from their checkpoint.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minibp.device import Device, check_dtype, get_device
from minibp.errors import DamagedFileError, InputError, differing, printable
from minibp.experiments import plots, results
from minibp.experiments.identity import differences, owner_of
from minibp.files import read_json, write_atomically, write_json
from minibp.ops.tiers import check_matmul
from minibp.study.conditions import Condition
from minibp.study.networks import input_shape
from minibp.study.settings import Settings
from minibp.training.checkpoint import Checkpoints
from minibp.training.data import Data
from minibp.training.run import Plan, Run
from minibp.training.schedule import (
    BASE_RATE,
    BATCH_SIZE,
    EPOCHS,
    FACTORS,
    BatchSchedule,
    batch_schedules,
    rate_drops,
)
from minibp.training.warmup import compile_kernels


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
        for what, value in (("epochs", self.epochs), ("batch size", self.batch_size)):
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{what} {value}: expected a whole number of 1 or more.")
        if not 0 <= self.base_rate < float("inf"):
            raise InputError(f"base rate {self.base_rate}: expected a number of 0 or more.")
        if not self.rate_factors or any(not 0 <= f < float("inf") for f in self.rate_factors):
            raise InputError(f"rate factors {list(self.rate_factors)}: expected 0 or more each.")
        if len(set(self.rate_factors)) < len(self.rate_factors):
            raise InputError(f"rate factors {list(self.rate_factors)}: one is given twice.")
        if not all(self.base_rate * factor < float("inf") for factor in self.rate_factors):
            raise InputError(
                f"base rate {self.base_rate} times rate factors {list(self.rate_factors)}: "
                "expected finite learning rates."
            )
        drops = rate_drops(self.epochs) if self.rate_drops is None else self.rate_drops
        if any(drop < 0 for drop in drops):
            raise InputError(f"rate drops {list(drops)}: expected epochs of 0 or more.")
        object.__setattr__(self, "rate_factors", tuple(float(f) for f in self.rate_factors))
        object.__setattr__(self, "rate_drops", tuple(drops))

    def runs(self) -> list[tuple[str, float, BatchSchedule]]:
        """Return (sub-folder, rate factor, batch schedule) of each run."""
        schedules = batch_schedules(self.condition, self.batch_size)
        return [
            (f"rate-{_text(factor)}" + (f"-schedule{k + 1}" if k else ""), factor, schedule)
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
            "dataset": printable(self.dataset),
            "condition": printable(str(self.condition)),
            "seed": self.seed,
            "settings": own | dataclasses.asdict(self.settings),
            "files": {printable(path): sha for path, sha in self.condition.files.items()},
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
    _check_folder(folder, experiment, record, resume)
    folder.mkdir(parents=True, exist_ok=True)
    runs, rates = experiment.runs(), []
    _write(folder, record, rates, finished=False)
    compile_kernels(experiment.plan(*runs[0][1:]), device, listener.compiling)
    for index, (name, factor, _) in enumerate(runs):
        begins = _announce(listener, factor, index, len(runs))
        rates.append(do_run(folder, name, experiment, record, data, device, begins, listener))
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
    runs = experiment.runs()
    found = [finished_run(folder / name, owner_of(head, *rest)) for name, *rest in runs]
    rates = [rate for rate in found if rate is not None]
    return _write(folder, head, rates, finished=len(rates) == len(runs))


def finished_run(place: Path, owner: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record in a run's folder, or None if there is none that is whole.

    Raises InputError for the record of another run.
    """
    path = place / "run.json"
    if not path.exists():
        return None
    try:
        record = read_json(path)
        before = {"rate_factor": record["factor"], "batch_schedule": record["batch_schedule"]}
    except (DamagedFileError, KeyError, TypeError) as error:
        warnings.warn(
            f"{path} is no record of a run ({error}): the run is gone on with.", stacklevel=2
        )
        return None
    before |= record.get("owner", {})
    changes = differing(before, {name: owner.get(name) for name in before})
    if changes:
        raise InputError(
            f"{path} is another run's: {'; '.join(changes)}. Remove it, and the run is done anew."
        )
    return record


def _announce(listener: Listener, factor: float, index: int, of: int) -> Callable[[Run], None]:
    return lambda run: listener.run_begins(factor, index, of, run)


def do_run(
    folder: Path,
    name: str,
    experiment: Experiment,
    head: dict[str, Any],
    data: Data,
    device: Device,
    begins: Callable[[Run], None] = lambda run: None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Do one run of an experiment, or what is left of it, and return its record, which is then in
    the run's folder.

    folder, name  the experiment's, and the run's within it
    head, data    as `prepare` returns them

    Raises InputError if the folder has another run's checkpoint or record.
    """
    place, listener = folder / name, listener or Listener()
    factor, schedule = next(rest for known, *rest in experiment.runs() if known == name)
    owner, plan = owner_of(head, factor, schedule), experiment.plan(factor, schedule)
    record = finished_run(place, owner)
    if record is not None:
        return record
    place.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(place, owner)
    with device.working():
        run = Run(plan, data, device)
        arrays, meta = checkpoints.load() or (None, {})
        if arrays is not None:
            run.restore(arrays, meta)
        computed = _computed(meta.get("computed", []), len(run.history) + 1, device, place)
        begins(run)
        while not run.finished:
            run.advance(listener.step)
            arrays, meta = run.state()
            checkpoints.save(arrays, meta | {"computed": computed})
            listener.epoch_ends(run)
        launches, run.replay = run.launches, None  # its graphs, and their memory, end here
    record = results.run_record(
        factor, plan.rate, str(schedule), run.history, run.diverged_epoch
    ) | {"device": device.describe(), "versions": results.versions()}
    record |= {"computed": computed, "owner": owner}
    if launches is not None:
        record["launches"] = launches
    write_json(place / "run.json", record)
    return record


def _computed(before: list[dict], epoch: int, device: Device, place: Path) -> list[dict]:
    """Return what a run's epochs are computed with, each entry from an epoch on.

    Warns where that changes: sums in another order, or by other kernels, have other last bits.
    """
    now = {"device": device.describe(), "versions": results.versions()}
    last = {name: value for name, value in (before or [now])[-1].items() if name != "from_epoch"}
    if before and last == now:
        return before
    if before:
        changes = differing(last["device"], now["device"])
        changes += differing(last["versions"], now["versions"])
        warnings.warn(
            f"{place} goes on from epoch {epoch} with other means: {'; '.join(changes)}. The "
            "numbers are not bit for bit those of an uninterrupted run; the record says so.",
            stacklevel=2,
        )
    return [*before, {"from_epoch": epoch} | now]


def _write(folder: Path, record: dict, rates: list[dict], *, finished: bool) -> dict[str, Any]:
    record = record | {"finished": finished} | results.score(rates) | {"rates": rates}
    write_json(folder / "run.json", record)
    return record


def _check_folder(
    folder: Path, experiment: Experiment, record: dict[str, Any], resume: bool
) -> None:
    """Raise InputError unless the folder is new, or holds this experiment and `resume` is set."""
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"the output folder {folder} is a link to nothing: choose another --out.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"the output folder {folder} is a file: choose another one with --out.")
    written = folder / "run.json"
    before = None
    try:
        before = read_json(written) if written.exists() else None
        changes = differences(before, record) if before is not None else []
    except (DamagedFileError, TypeError, AttributeError) as error:
        if not resume:
            raise InputError(
                f"{error} The finished runs are in folders of their own: --resume goes on with "
                "them, and writes the record anew."
            ) from error
        warnings.warn(f"{error} It is written anew from the runs' own records.", stacklevel=3)
        changes = []
    if changes:
        raise InputError(
            f"{folder} holds another experiment: {'; '.join(changes)}. "
            "Choose another folder with --out."
        )
    ours = {"run.json", "experiment.json", "curves.png", *(name for name, *_ in experiment.runs())}
    others = [path.name for path in folder.iterdir() if path.name not in ours]
    others = [name for name in others if not name.endswith(".part")]
    if not written.exists() and others:
        raise InputError(
            f"the output folder {folder} holds other files, such as {min(others)!r}: choose a new "
            "one with --out."
        )
    if any(folder.iterdir()) and not resume:
        raise InputError(
            f"{folder} holds this very experiment: go on with --resume, or choose another folder "
            "with --out."
        )


def _text(number: float) -> str:
    """Return a number in as few digits as tell it from every other.

    >>> _text(1.0), _text(0.01), _text(1.0000001)
    ('1', '0.01', '1.0000001')
    """
    short = f"{number:g}"
    return short if float(short) == number else repr(number)
