"""Many experiments in one folder, which is all that a sweep remembers.

`run_experiment` is a sweep of one experiment, in this process.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minibp.device import Device, get_device
from minibp.errors import InputError
from minibp.experiments import plots
from minibp.experiments.experiment import Experiment
from minibp.experiments.folder import (
    CURVES,
    RECORD,
    check_free,
    claim,
    collect,
    head_of,
    is_finished,
    prepare,
)
from minibp.experiments.job import (
    ELSEWHERE,
    FAILED,
    DataSource,
    Job,
    Loader,
    Outcome,
    Worker,
    do_alone,
    tidy,
    work,
)
from minibp.experiments.trial import Listener
from minibp.files import write_atomically
from minibp.training.data import Data
from minibp.training.warmup import rehearse

SETTLE = 90.0  # seconds until every machine sees what one wrote: NFS looks again after 60 at most
PAUSE = 0.5  # seconds between two looks


def run_experiment(
    experiment: Experiment,
    data: Data,
    folder: Path,
    *,
    device: Device | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Do all trials of an experiment that are not done yet, and return its record.

    Raises InputError if the folder holds another experiment, or this one and `resume` is not set.
    """
    listener, device = listener or Listener(), device or get_device("cpu")
    head, part = prepare(experiment, data, device)
    check_free(folder, experiment, head, resume=resume)
    rehearse(experiment.recipe, part, device, listener.compiling)
    claim(folder, experiment, head)
    record = collect(experiment, head, folder)
    for trial in experiment.trials():
        job = Job(experiment, DataSource(experiment.dataset), folder, trial.name)
        done = do_alone(job, head, part, device, listener)
        if done is None:
            raise InputError(f"{job.place} is being done by another process: wait until it ends.")
        listener.trial_ends(done)
        record = collect(experiment, head, folder)
    write_atomically(folder / CURVES, plots.learning_curves(record))
    return record


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

    def __init__(self, jobs: Sequence[Job], loader: Loader, worker: Worker):
        self.jobs, self.loader, self.worker = list(jobs), loader, worker
        self.left = {job.place: job for job in jobs if not job.done}
        self.progress = Progress(len(jobs), len(jobs) - len(self.left))

    def take(self, outcome: Outcome) -> None:
        """Count a job's outcome, and bring its experiment's record up to date.

        Raises InputError for a job that was done, but whose record is not in this folder.
        """
        job = outcome.job
        del self.left[job.place]
        if outcome.state == FAILED:
            self.progress.failed += 1
            self.progress.errors.append(outcome)
            return
        if not appears(job.place / RECORD, SETTLE):
            raise InputError(
                f"{job.place} was done, but has no {RECORD} here: the folder must be one that all "
                "workers share, under the same path."
            )
        self.progress.done += 1
        self.record(job)

    def record(self, job: Job) -> None:
        """Write an experiment's record from those of its runs."""
        head = head_of(job.folder)
        if head is None:  # lost or damaged
            worker, data = self.worker, job.source.load(self.loader)
            device = get_device(worker.device, worker.kernels, worker.threads)
            head, _ = prepare(job.experiment, data, device)
            claim(job.folder, job.experiment, head)
        collect(job.experiment, head, job.folder, strict=False)

    def finish(self) -> None:
        """Bring every record up to date, and remove what kills left in finished runs."""
        for job in {job.folder: job for job in self.jobs if job.done}.values():
            if not is_finished(job.folder):
                self.record(job)
        for job in self.jobs:
            if job.done and len(list(job.place.iterdir())) > 2:  # the record and the lock
                tidy(job, self.worker.keep_weights)


def run_here(sweep: Sweep, watch: Callable[[Sweep], None]) -> None:
    """Do all jobs one after the other in this process; those that others are at come last."""
    waiting, elsewhere = deque(sweep.left.values()), 0
    while waiting:
        sweep.progress.running = 1
        watch(sweep)
        job = waiting.popleft()
        outcome = work(job, sweep.loader, sweep.worker)
        if outcome.state != ELSEWHERE:
            sweep.take(outcome)
            elsewhere = 0
            continue
        waiting.append(job)
        elsewhere += 1
        if elsewhere >= len(waiting):  # nothing else is left to do
            time.sleep(PAUSE)
    sweep.progress.running = 0
    watch(sweep)
