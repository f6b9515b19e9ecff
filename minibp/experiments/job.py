"""A trial as a job: done by whichever process or thread is free, under a lock.

The folder of a sweep has a folder for each experiment, DATASET/CONDITION/seedN. A job whose folder
is locked is being done by somebody else.
"""

import contextlib
import fcntl
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from minibp.console import OUT_OF_MEMORY
from minibp.device import Device, get_device
from minibp.errors import DamagedFileError, InputError
from minibp.experiments.experiment import Experiment
from minibp.experiments.folder import HEAD, RECORD, changes_in, claim, finished_run, prepare
from minibp.experiments.identity import owner_of
from minibp.experiments.trial import Listener, do_trial
from minibp.files import folder_name, write_json
from minibp.training.data import Data

Loader = Callable[..., Data]
LOADING = threading.Lock()
PER_THREAD = threading.local()
DONE, FAILED, ELSEWHERE = "done", "failed", "elsewhere"
ERROR = "error.json"  # what a failed job leaves in its folder


@dataclass(frozen=True)
class DataSource:
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
class Worker:
    """What a job is computed with, by whichever worker."""

    device: str = "cpu"
    kernels: str = "auto"
    threads: int | None = 1
    keep_weights: bool = False


@dataclass(frozen=True)
class Job:
    """One trial of an experiment, and the experiment's folder."""

    experiment: Experiment
    source: DataSource
    folder: Path
    trial: str

    @property
    def place(self) -> Path:
        """The trial's own folder."""
        return self.folder / self.trial

    @property
    def done(self) -> bool:
        """Whether its record is there, whole, and this trial's."""
        try:
            with open(self.place / RECORD, "rb") as file:
                file.seek(-2, os.SEEK_END)
                if file.read() != b"}\n":  # cut off, or being looked at while it is written
                    return False
        except OSError:
            return False
        head = self.experiment.identity() | {"data_sha256": self.source.sha256}
        owner = owner_of(self.experiment, head, self.experiment.trial(self.trial))
        with contextlib.suppress(InputError):  # another's: told when it is this trial's turn
            return finished_run(self.place, owner) is not None
        return False


@dataclass
class Outcome:
    """What became of a job: "done", "failed" (with the error), or "elsewhere": somebody else is at
    it."""

    job: Job
    state: str
    error: str = ""


def jobs_of(experiments: Sequence[tuple[Experiment, DataSource]], folder: Path) -> list[Job]:
    """Return the trials of all experiments, in their order."""
    return [
        Job(experiment, source, folder_of(experiment, folder), trial.name)
        for experiment, source in experiments
        for trial in experiment.trials()
    ]


def folder_of(experiment: Experiment, folder: Path) -> Path:
    """Return an experiment's folder below a sweep's: DATASET/CONDITION/seedN.

    That of a user's file that was moved is the one where it was run.
    """
    words = (experiment.dataset, experiment.recipe.name, f"seed{experiment.seed}")
    place = folder.joinpath(*map(folder_name, words))
    if experiment.recipe.files and not place.exists():
        for path in sorted(place.parent.parent.glob(f"*/{place.name}/{HEAD}")):
            with contextlib.suppress(DamagedFileError):
                if not changes_in(path.parent, experiment, None):
                    return path.parent
    return place


def work(job: Job, loader: Loader, worker: Worker, listener: Listener | None = None) -> Outcome:
    """Do a job, in whatever process or thread this is called, and return what became of it.

    An error becomes part of the outcome, and is written to error.json in the trial's folder.
    """
    try:
        if job.done:
            return Outcome(job, DONE)
        experiment, device = job.experiment, _device(worker)
        part = (experiment.train_limit, experiment.holdout, experiment.seed)
        with LOADING:  # or each thread would load the data
            head, _ = prepare(experiment, _loaded(job.source, loader), device)
            data = _part(job.source, loader, *part)
        with contextlib.ExitStack() as stack:
            if worker.device != "cuda":  # a CPU's bits depend on the number of BLAS's threads
                stack.enter_context(threadpool_limits(worker.threads))
            listener, keep = listener or Listener(), worker.keep_weights
            mine = do_alone(job, head, data, device, listener, keep_weights=keep)
        if not mine:
            return Outcome(job, ELSEWHERE)
        tidy(job, worker.keep_weights)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError):
            text = f"{OUT_OF_MEMORY} ({error})"
        with contextlib.suppress(OSError):  # such as a full disk, which may be the error itself
            job.place.mkdir(parents=True, exist_ok=True)
            note = {"error": text, "traceback": traceback.format_exc()}
            write_json(job.place / ERROR, note)
        return Outcome(job, FAILED, text)
    return Outcome(job, DONE)


def do_alone(
    job: Job,
    head: dict[str, Any],
    data: Data,
    device: Device,
    listener: Listener,
    *,
    keep_weights: bool = True,
) -> dict[str, Any] | None:
    """Do a job that nobody else is at, and return its record; None if somebody is.

    Raises InputError if the folder holds another experiment, or the trial's another run.
    """
    finished_run(job.place, owner_of(job.experiment, head, job.experiment.trial(job.trial)))
    claim(job.folder, job.experiment, head)
    job.place.mkdir(exist_ok=True)
    with locked(job.place / "lock") as mine:
        if not mine:
            return None
        what = (job.folder, job.trial, job.experiment, head, data, device, listener)
        return do_trial(*what, keep_weights=keep_weights)


def tidy(job: Job, keep_weights: bool) -> None:
    """Remove what a finished job leaves: its weights, unless they are to be kept, and what a kill
    left behind."""
    with locked(job.place / "lock") as mine:
        if not mine:
            return
        leftovers = [*job.place.glob(".*.part"), *job.place.glob(ERROR)]
        if not keep_weights:
            leftovers += [*job.place.glob("*.h5"), *job.place.glob("history.jsonl")]
        for path in leftovers:
            path.unlink(missing_ok=True)


def _device(worker: Worker) -> Device:
    """Return this thread's device: a GPU's stream, and what belongs to it, serve all its jobs."""
    if getattr(PER_THREAD, "worker", None) != worker:
        PER_THREAD.device = get_device(worker.device, worker.kernels, worker.threads)
        PER_THREAD.worker = worker
    return PER_THREAD.device


@lru_cache(maxsize=4)
def _loaded(source: DataSource, loader: Loader) -> Data:
    return source.load(loader)


@lru_cache(maxsize=2)
def _part(
    source: DataSource, loader: Loader, train_limit: int | None, holdout: float | None, seed: int
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
