"""Who does the jobs of a sweep, if not this process alone: threads of it for a GPU, processes of
this machine, or Dask's workers on several."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import re
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.context import SpawnProcess

from minibp import console
from minibp.errors import DamagedFileError, InputError
from minibp.experiments.job import (
    DONE,
    ELSEWHERE,
    ERROR,
    FAILED,
    Job,
    Loader,
    Outcome,
    Worker,
    work,
)
from minibp.experiments.sweep import PAUSE, Sweep
from minibp.experiments.trial import Listener
from minibp.files import read_json

PATIENCE = 600  # seconds without a scheduler before a sweep gives up
ANSWER = 10  # seconds that a scheduler has to answer
DEATHS = 20  # of processes, with no job done in between, before a sweep gives up


class _Stopped(BaseException):
    """The sweep was interrupted."""


class _Stoppable(Listener):
    """Ends a run at its next step once `stop` is set."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def step(self, loss: float | None) -> None:
        if self.stop.is_set():
            raise _Stopped


def run_side_by_side(sweep: Sweep, watch: Callable[[Sweep], None], at_once: int) -> None:
    """Do all jobs in threads of this process, some at once: a GPU has them side by side, each on a
    stream of its own, and so is kept busy by networks too small to do so alone."""
    waiting, running, listener = deque(sweep.left.values()), {}, _Stoppable()
    with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    job = waiting.popleft()
                    future = threads.submit(work, job, sweep.loader, sweep.worker, listener)
                    running[future] = job
                sweep.progress.running = len(running)
                watch(sweep)
                ended, _ = concurrent.futures.wait(
                    running, PAUSE, concurrent.futures.FIRST_COMPLETED
                )
                elsewhere = []
                for future in ended:
                    job, outcome = running.pop(future), future.result()
                    elsewhere += [job] if outcome.state == ELSEWHERE else []
                    if outcome.state != ELSEWHERE:
                        sweep.take(outcome)
                waiting += elsewhere
                if elsewhere:  # others are at them: not to ask again at once
                    time.sleep(PAUSE)
        finally:
            listener.stop.set()
    sweep.progress.running = 0
    watch(sweep)


def run_in_processes(sweep: Sweep, watch: Callable[[Sweep], None], count: int) -> None:
    """Do all jobs in processes of this machine, each of which takes jobs that nobody is at.

    A process that dies is replaced by another, which goes on from the job's checkpoint. Raises
    InputError if they only die.
    """
    for job in sweep.left.values():
        (job.place / ERROR).unlink(missing_ok=True)  # they are tried again
    context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
    processes: list[SpawnProcess] = []
    deaths = 0
    try:
        while sweep.left:
            dead = [process.exitcode for process in processes if process.exitcode]
            deaths += len(dead)
            if deaths > DEATHS:
                raise InputError(
                    f"{deaths} workers died one after the other, the last with status {dead[-1]}: "
                    "is there memory for so many? Choose fewer --workers; the same command goes on."
                )
            processes = [process for process in processes if process.exitcode is None]
            jobs = list(sweep.left.values())
            while len(processes) < min(count, len(jobs)):
                given = (jobs, sweep.loader, sweep.worker, os.getpid())
                processes.append(context.Process(target=_serve, args=given, daemon=True))
                processes[-1].start()
            time.sleep(PAUSE)
            for outcome in filter(None, map(_outcome_in_folder, jobs)):
                sweep.take(outcome)
                deaths = 0
            sweep.progress.running = min(len(processes), len(sweep.left))
            watch(sweep)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _serve(jobs: Sequence[Job], loader: Loader, worker: Worker, parent: int) -> None:
    """Do the jobs that nobody is at, until there are none left, or the sweep's process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sweep's, which then ends this
    warnings.showwarning = console.one_line
    listener, waiting = _Orphaned(parent), list(jobs)
    with contextlib.suppress(_Stopped):
        while waiting:
            outcomes = [
                work(job, loader, worker, listener)
                for job in waiting
                if _outcome_in_folder(job) is None
            ]
            waiting = [outcome.job for outcome in outcomes if outcome.state == ELSEWHERE]
            if len(waiting) == len(outcomes):  # others are at all of them
                time.sleep(PAUSE)
                listener.step(None)


def _outcome_in_folder(job: Job) -> Outcome | None:
    """Return what became of a job, as its folder says, or None if it is not done yet."""
    if job.done:
        return Outcome(job, DONE)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, DamagedFileError):
        return Outcome(job, FAILED, read_json(job.place / ERROR)["error"])
    return None


class _Orphaned(Listener):
    """Ends a run at its next step once the process of a number is no longer the parent."""

    def __init__(self, parent: int):
        self.parent = parent

    def step(self, loss: float | None) -> None:
        if os.getppid() != self.parent:
            raise _Stopped


def run_on_cluster(sweep: Sweep, watch: Callable[[Sweep], None], address: str) -> None:
    """Do all jobs on Dask's workers, on any number of machines that share the sweep's folder.

    address  of a running scheduler, "tcp://…"

    A worker that dies is replaced by another, which goes on from the job's checkpoint. If the
    scheduler is gone, its return is waited for. Raises InputError without the package distributed,
    and for an address where there is no scheduler.
    """
    distributed = _distributed()
    if not re.fullmatch(r"\w+://.+:\d+", address):
        raise InputError(f"no scheduler's address {address!r}: expected tcp://HOST:PORT.")
    lost, found = None, False
    while sweep.left:
        try:
            client = distributed.Client(address, timeout=ANSWER)
        except (OSError, TimeoutError) as error:
            if not found:
                raise InputError(f"no Dask scheduler answers at {address}: {error}") from error
            lost = lost or time.monotonic()
            if time.monotonic() > lost + PATIENCE:
                raise InputError(
                    f"the scheduler at {address} did not come back in {PATIENCE} seconds."
                ) from error
            time.sleep(PAUSE)
            continue
        lost, found = None, True
        with client, contextlib.suppress(_Lost):  # if it is lost, it is looked for again
            _drive(client, sweep, watch)


class _Lost(Exception):
    """The scheduler forgot the jobs."""


def _drive(client, sweep: Sweep, watch: Callable[[Sweep], None]) -> None:
    """Have the workers do what is left; raise _Lost if the scheduler goes away."""
    distributed = _distributed()

    def submit(jobs):
        return {
            client.submit(work, job, sweep.loader, sweep.worker, pure=False): job for job in jobs
        }

    waiting = submit(sweep.left.values())
    while waiting:
        done, running = _look(distributed, client, waiting)
        again = []
        for future in done:
            job = waiting.pop(future)
            outcome = _outcome(distributed, future, job)
            if outcome.state == ELSEWHERE:
                again.append(job)
            else:
                sweep.take(outcome)
        sweep.progress.running = running
        watch(sweep)
        if again:
            time.sleep(PAUSE)
            waiting |= submit(again)
    sweep.progress.running = 0
    watch(sweep)


def _look(distributed, client, waiting: dict) -> tuple[list, int]:
    """Return the jobs that have ended, and how many are being done."""
    try:
        try:
            done = distributed.wait(
                list(waiting), timeout=PAUSE, return_when="FIRST_COMPLETED"
            ).done
        except (TimeoutError, distributed.TimeoutError):
            done = set()
        own = {future.key for future in waiting}
        threads = client.nthreads()
        running = sum(
            min(len(own.intersection(keys)), threads.get(worker, 1))
            for worker, keys in client.processing().items()
        )
    except (OSError, concurrent.futures.CancelledError) as error:
        raise _Lost(str(error)) from error
    if client.status != "running" or any(f.status in ("cancelled", "lost") for f in done):
        raise _Lost(f"the client is {client.status}")
    return list(done), running


def _outcome(distributed, future, job: Job) -> Outcome:
    """Return what became of a job, also where Dask itself has an error for it."""
    if future.status != "error":
        return future.result()
    error = future.exception()
    if isinstance(error, distributed.scheduler.KilledWorker):
        return Outcome(job, ELSEWHERE)  # several workers died at it: it goes on from its checkpoint
    return Outcome(job, FAILED, f"{type(error).__name__}: {error}")


def _distributed():
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "a scheduler's workers need Dask: pip install 'minibp[sweep]'. Workers on this "
            "machine do without: --workers N."
        ) from error
    return distributed
