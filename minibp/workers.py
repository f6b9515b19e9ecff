"""Who does the jobs of a sweep: this process, or Dask's workers, here or elsewhere."""

import concurrent.futures
import logging
import signal
import time
from collections.abc import Callable

from minibp.errors import InputError
from minibp.sweep import ELSEWHERE, Sweep, work

TRIES = 1_000  # of a job whose workers die under it: each try goes on from its checkpoint
PATIENCE = 600  # seconds without a scheduler before a sweep gives up
PAUSE = 0.5  # seconds between two looks


def run_here(sweep: Sweep, watch: Callable[[Sweep], None]) -> None:
    """Do all jobs one after the other in this process."""
    sweep.progress.running = 1
    for job in list(sweep.left.values()):
        watch(sweep)
        outcome = work(job, sweep.loader, sweep.how)
        while outcome.state == ELSEWHERE:
            time.sleep(PAUSE)
            outcome = work(job, sweep.loader, sweep.how)
        sweep.take(outcome)
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
                n_workers=workers or _cores(),
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            client.register_plugin(_deaf(distributed))
            _drive(client, sweep, watch)
        return
    lost, found = None, False
    while sweep.left:
        try:
            with distributed.Client(address, timeout=10) as client:
                lost, found = None, True
                _drive(client, sweep, watch)
        except (OSError, TimeoutError, distributed.comm.CommClosedError, _Lost) as error:
            if not found:
                raise InputError(f"no Dask scheduler answers at {address}: {error}") from error
            lost = lost or time.monotonic()
            if time.monotonic() > lost + PATIENCE:
                raise InputError(
                    f"the scheduler at {address} did not come back: {error}"
                ) from error
            time.sleep(PAUSE)


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
    client.run_on_scheduler(_be_patient)

    def submit(jobs):
        return {
            client.submit(work, job, sweep.loader, sweep.how, pure=False, retries=3): job
            for job in jobs
        }

    waiting = submit(sweep.left.values())
    while waiting:
        try:
            done = distributed.wait(
                list(waiting), timeout=PAUSE, return_when="FIRST_COMPLETED"
            ).done
        except (TimeoutError, distributed.TimeoutError):
            done = ()
        except concurrent.futures.CancelledError as error:
            raise _Lost(str(error)) from error
        again = []
        for future in done:
            job = waiting.pop(future)
            if future.status in ("cancelled", "lost"):
                raise _Lost(f"job {job.place}")
            outcome = future.result()
            if outcome.state == ELSEWHERE:
                again.append(job)
            else:
                sweep.take(outcome)
        if client.status != "running":
            raise _Lost(f"the client is {client.status}")
        sweep.progress.running = sum(map(len, client.processing().values()))
        watch(sweep)
        if again:
            time.sleep(PAUSE)
            waiting |= submit(again)
    sweep.progress.running = 0
    watch(sweep)


def _be_patient(dask_scheduler) -> None:
    dask_scheduler.allowed_failures = TRIES


def _cores() -> int:
    from minibp.device import available_cores

    return available_cores()


def _distributed():
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "several workers need Dask: pip install 'minibp[sweep]', or --workers 0 for one run "
            "after the other in this process."
        ) from error
    return distributed
