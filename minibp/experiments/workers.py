"""Who does the jobs of a sweep: this process, alone or in threads, or Dask's workers."""

import concurrent.futures
import contextlib
import logging
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable

from minibp.device import available_cores
from minibp.errors import InputError
from minibp.experiments.experiment import Listener
from minibp.experiments.sweep import ELSEWHERE, FAILED, Job, Outcome, Sweep, work

PATIENCE = 600  # seconds without a scheduler before a sweep gives up
PAUSE = 0.5  # seconds between two looks
ANSWER = 10  # seconds that a scheduler has to answer


def run_here(sweep: Sweep, watch: Callable[[Sweep], None]) -> None:
    """Do all jobs one after the other in this process; those that others are at come last."""
    waiting, elsewhere = deque(sweep.left.values()), 0
    while waiting:
        sweep.progress.running = 1
        watch(sweep)
        job = waiting.popleft()
        outcome = work(job, sweep.loader, sweep.how)
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
                    future = threads.submit(work, job, sweep.loader, sweep.how, listener)
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


def run_on_cluster(
    sweep: Sweep,
    watch: Callable[[Sweep], None],
    *,
    workers: int | None = None,
    address: str | None = None,
) -> None:
    """Do all jobs on Dask's workers.

    workers  how many processes to start on this machine; None: as many as there are cores
    address  of a running scheduler ("tcp://…"), instead

    A worker that dies is replaced by another, which goes on from the job's checkpoint. If a running
    scheduler is gone, its return is waited for. Raises InputError without the package distributed,
    and for an address where there is no scheduler.
    """
    distributed = _distributed()
    if address is None:
        with (
            distributed.LocalCluster(
                n_workers=workers or available_cores(),
                threads_per_worker=1,
                memory_limit=0,  # or Dask would pause workers, and end them
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            client.register_plugin(_deaf(distributed))
            try:
                _drive(client, sweep, watch)
            except _Lost as error:
                raise InputError(
                    f"the cluster on this machine broke down ({error}); the same command goes on."
                ) from error
        return
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


def _deaf(distributed):
    """Return a plugin by which local workers leave Ctrl-C to the sweep, which then ends them."""

    class Deaf(distributed.WorkerPlugin):
        name = "deaf"

        def setup(self, worker) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return Deaf()


class _Lost(Exception):
    """The scheduler forgot the jobs."""


def _drive(client, sweep: Sweep, watch: Callable[[Sweep], None]) -> None:
    """Have the workers do what is left; raise _Lost if the scheduler goes away."""
    distributed = _distributed()

    def submit(jobs):
        return {client.submit(work, job, sweep.loader, sweep.how, pure=False): job for job in jobs}

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
            "several workers need Dask: pip install 'minibp[sweep]', or --workers 0 for one run "
            "after the other in this process."
        ) from error
    return distributed
