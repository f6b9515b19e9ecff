"""Many experiments: each run of each is a job of its own, done by whoever is free.

The folder of a sweep has a folder for each experiment, DATASET/CONDITION/seedN, as scripts/train.py
leaves it. What is there is all that a sweep remembers: a job whose run.json is there is done, one
with a checkpoint goes on from it, one whose folder is locked is being done by somebody else.
"""

import contextlib
import fcntl
import os
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from minibp.device import Device, get_device
from minibp.errors import DamagedFileError, InputError
from minibp.experiments.experiment import Experiment, Listener, collect, do_run, prepare
from minibp.experiments.identity import differences
from minibp.files import folder_name, read_json, write_json
from minibp.training.data import Data

Loader = Callable[..., Data]
LOADING = threading.Lock()
PER_THREAD = threading.local()
DONE, FAILED, ELSEWHERE = "done", "failed", "elsewhere"
SETTLE = 90.0  # seconds until every machine sees what one wrote: NFS looks again after 60 at most
HEAD = "experiment.json"  # what an experiment is, in its folder from its first run on


@dataclass(frozen=True)
class Source:
    """Where a data set comes from: what its loader is called with, besides its name.

    sha256  the data's checksum, if it is known what it should be
    """

    name: str
    options: tuple[tuple[str, Any], ...] = ()
    sha256: str | None = None

    def load(self, loader: Loader) -> Data:
        """Return the data; raise InputError if it is other data than it should be."""
        data = loader(self.name, **dict(self.options))
        if self.sha256 not in (None, data.sha256):
            raise InputError(
                f"data set {self.name!r} has changed since the sweep began: its SHA-256 was "
                f"{self.sha256}, now {data.sha256}."
            )
        return data


@dataclass(frozen=True)
class How:
    """How runs are computed, on whatever worker."""

    device: str = "cpu"
    kernels: str = "auto"
    threads: int | None = 1
    keep_weights: bool = False


@dataclass(frozen=True)
class Job:
    """One run of an experiment, which is in a sub-folder `run` of the experiment's folder."""

    experiment: Experiment
    source: Source
    folder: Path
    run: str

    @property
    def place(self) -> Path:
        """The run's own folder."""
        return self.folder / self.run

    @property
    def done(self) -> bool:
        """Whether its record is there, and not cut off."""
        try:
            with open(self.place / "run.json", "rb") as file:
                file.seek(-2, os.SEEK_END)
                return file.read() == b"}\n"
        except OSError:
            return False


@dataclass
class Outcome:
    """What became of a job: "done", "failed" (with the error), or "elsewhere": somebody else is at
    it."""

    job: Job
    state: str
    error: str = ""


def jobs_of(experiments: Sequence[tuple[Experiment, Source]], folder: Path) -> list[Job]:
    """Return the runs of all experiments, in their order."""
    return [
        Job(experiment, source, folder_of(experiment, folder), name)
        for experiment, source in experiments
        for name, *_ in experiment.runs()
    ]


def folder_of(experiment: Experiment, folder: Path) -> Path:
    """Return an experiment's folder below a sweep's.

    A rule that a user has moved stays in the folder where it was run.

    >>> from minibp.study.conditions import Condition
    >>> folder_of(Experiment("digits", "mnist", Condition.parse("frSF-25+BN Top")), Path("runs"))
    PosixPath('runs/digits/frSF-25+BN_Top/seed0')
    """
    words = (experiment.dataset, str(experiment.condition), f"seed{experiment.seed}")
    place = folder.joinpath(*map(folder_name, words))
    if experiment.condition.files and not place.exists():
        for path in sorted(place.parent.parent.glob(f"*/{place.name}/{HEAD}")):
            head = read_json(path)
            if not differences(head, experiment.identity() | {"data_sha256": head["data_sha256"]}):
                return path.parent
    return place


def work(job: Job, loader: Loader, how: How, listener: Listener | None = None) -> Outcome:
    """Do a job, in whatever process or thread this is called, and return what became of it.

    An error becomes part of the outcome, and is written to error.json in the run's folder.
    """
    try:
        if job.done:
            return Outcome(job, DONE)
        job.place.mkdir(parents=True, exist_ok=True)
        with locked(job.place / "lock") as mine:
            if not mine:
                return Outcome(job, ELSEWHERE)
            with contextlib.ExitStack() as stack:
                if how.device != "cuda":  # a CPU's bits depend on the number of BLAS's threads
                    stack.enter_context(threadpool_limits(how.threads))
                _do(job, loader, how, listener)
            tidy(job, how)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):  # such as a full disk, which may be the error itself
            note = {"error": text, "traceback": traceback.format_exc()}
            write_json(job.place / "error.json", note)
        return Outcome(job, FAILED, text)
    return Outcome(job, DONE)


def _do(job: Job, loader: Loader, how: How, listener: Listener | None) -> None:
    if job.done:  # by somebody, between the first look and the lock
        return
    experiment = job.experiment
    device = _device(how)
    part = (experiment.train_limit, experiment.holdout, experiment.seed)
    with LOADING:  # or each thread would load the data
        head, _ = prepare(experiment, _loaded(job.source, loader), device)
        data = _part(job.source, loader, *part)
    _agree(job.folder, head)
    do_run(job.folder, job.run, experiment, head, data, device, listener=listener)


def _device(how: How) -> Device:
    """Return this thread's device: a GPU's stream, and what belongs to it, serve all its runs."""
    if getattr(PER_THREAD, "how", None) != how:
        PER_THREAD.device, PER_THREAD.how = get_device(how.device, how.kernels, how.threads), how
    return PER_THREAD.device


def _agree(folder: Path, head: dict[str, Any]) -> None:
    """Write an experiment's head into its folder; raise InputError if another is there already."""
    path = folder / HEAD
    before = read_json(path) if path.exists() else head
    changes = differences(before, head)
    if changes:
        raise InputError(f"{folder} holds another experiment: {'; '.join(changes)}.")
    if not path.exists():
        write_json(path, head)


def tidy(job: Job, how: How) -> None:
    """Remove what a finished run leaves: its checkpoints, unless they are to be kept, and what a
    kill left behind."""
    leftovers = [*job.place.glob(".*.part"), *job.place.glob("error.json")]
    if not how.keep_weights:
        leftovers += [*job.place.glob("checkpoint*.h5"), *job.place.glob("history.jsonl")]
    for path in leftovers:
        path.unlink(missing_ok=True)


def is_finished(folder: Path) -> bool:
    """Return whether an experiment's record is there, whole, and says that all runs are done."""
    try:
        return read_json(folder / "run.json")["finished"]
    except FileNotFoundError:
        return False
    except (DamagedFileError, KeyError, TypeError) as error:
        path = folder / "run.json"
        warnings.warn(f"{path} is no record ({error}): it is written anew.", stacklevel=2)
        return False


@lru_cache(maxsize=4)
def _loaded(source: Source, loader: Loader) -> Data:
    return source.load(loader)


@lru_cache(maxsize=2)
def _part(
    source: Source, loader: Loader, train_limit: int | None, holdout: float | None, seed: int
) -> Data:
    return _loaded(source, loader).reduced(train_limit, holdout, seed)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Give whether the lock was free; it is then held for the block, by this process alone.

    The system frees it when the process ends, however that happens.
    """
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            raise InputError(f"{path.parent}: this file system has no locks ({error}).") from error
        yield True


def appears(path: Path, patience: float) -> bool:
    """Return whether a file is there, or comes into sight within some seconds.

    A network file system may for a while go on saying that there is no such file, when another
    machine has written it. To list the folder has it look again.
    """
    end = time.monotonic() + patience
    while not path.exists():
        if time.monotonic() >= end:
            return False
        time.sleep(0.2)
        with contextlib.suppress(OSError):
            os.listdir(path.parent)
    return True


@dataclass
class Progress:
    """How far a sweep is."""

    total: int
    done: int = 0
    failed: int = 0
    running: int = 0
    errors: list[Outcome] = field(default_factory=list)


class Sweep:
    """All jobs of a sweep, what is left of them, and the records of their experiments."""

    def __init__(self, jobs: Sequence[Job], loader: Loader, how: How):
        self.jobs, self.loader, self.how = list(jobs), loader, how
        self.left = {job.place: job for job in jobs if not job.done}
        self.progress = Progress(len(jobs), len(jobs) - len(self.left))

    def take(self, outcome: Outcome) -> None:
        """Count a job's outcome, and bring its experiment's record up to date.

        Raises InputError for a run that was done, but whose record is not in this folder.
        """
        job = outcome.job
        del self.left[job.place]
        if outcome.state == FAILED:
            self.progress.failed += 1
            self.progress.errors.append(outcome)
            return
        if not appears(job.place / "run.json", SETTLE):
            raise InputError(
                f"{job.place} was done, but has no run.json here: the folder must be one that all "
                "workers share, under the same path."
            )
        self.progress.done += 1
        self.record(job)

    def record(self, job: Job) -> None:
        """Write an experiment's record from those of its runs."""
        for name in (HEAD, "run.json"):  # the latter where train.py, too, was at work
            if (job.folder / name).exists():
                with contextlib.suppress(DamagedFileError):  # then the other one has it
                    collect(job.experiment, read_json(job.folder / name), job.folder)
                    return

    def finish(self) -> None:
        """Bring every record up to date, and remove what kills left in finished runs."""
        for job in {job.folder: job for job in self.jobs if job.done}.values():
            if not is_finished(job.folder):
                self.record(job)
        for job in self.jobs:
            if job.done and len(list(job.place.iterdir())) > 2:  # run.json and lock
                with locked(job.place / "lock") as mine:
                    if mine:
                        tidy(job, self.how)
