"""Python threads that share a batch, each with a BLAS of one thread.

Kernels and BLAS release the GIL, so plain threads run side by side. A share depends on the number
of threads only, and what the threads sum up is added in their order: results are the same bits from
run to run.
"""

import contextvars
import os
import threading
from collections.abc import Callable
from itertools import pairwise
from queue import SimpleQueue

import numpy as np
from threadpoolctl import ThreadpoolController

from minibp.device import available_cores
from minibp.errors import InputError
from minibp.ops.cpu.spin import spin

TURNS = 500_000  # about a tenth of a millisecond
FEW_TURNS = 10_000


class Team:
    """A number of threads that work on shares of the same task; the caller is one of them."""

    def __init__(self, threads: int | None = None):
        if threads is None:
            threads = available_cores()
        if not isinstance(threads, int) or threads < 1:
            raise InputError(f"threads {threads!r}: expected an integer of 1 or more.")
        self.threads = threads
        self._workers: list[_Worker] = []
        self._process = 0
        self._busy = threading.Lock()

    def __reduce__(self) -> tuple:
        """A copy, also one in another process, has as many threads, and they are its own."""
        return type(self), (self.threads,)

    def run(self, task: Callable[[int, int, int], None], size: int) -> None:
        """Call task(worker, begin, end) for each worker's share of 0 … size, and wait for all.

        An exception of any share is raised once all have ended.
        """
        own, *others = self.shares(size)
        if self._process != os.getpid():  # a fork leaves threads behind, and locks as they were
            self._workers, self._busy, self._process = [], threading.Lock(), os.getpid()
        with ONE_BLAS_THREAD, self._busy:
            while len(self._workers) < len(others):
                self._workers.append(_Worker())
            begun: list[tuple[_Worker, int]] = []
            try:
                for number, share in enumerate(others):
                    # The caller's context goes along: numpy.errstate is part of it.
                    job = (contextvars.copy_context().run, task, number + 1, *share)
                    begun.append((self._workers[number], self._workers[number].begin(job)))
                task(0, *own)
            finally:
                errors = _join(begun)
            for error in errors:
                if error is not None:
                    raise error

    def shares(self, size: int) -> list[tuple[int, int]]:
        """Return (begin, end) of each worker's share; empty shares are left out.

        >>> Team(2).shares(7)
        [(0, 3), (3, 7)]
        """
        bounds = [size * k // self.threads for k in range(self.threads + 1)]
        pairs = [(a, e) for a, e in pairwise(bounds) if a < e]
        return pairs or [(0, 0)]


def _join(begun: "list[tuple[_Worker, int]]") -> list[BaseException | None]:
    """Wait for every worker, whatever interrupts: each still writes to the arrays of its job."""
    errors, interrupt = [], None
    for worker, job in begun:
        while True:
            try:
                errors.append(worker.join(job))
                break
            except KeyboardInterrupt as stop:
                interrupt = stop
    if interrupt is not None:
        raise interrupt
    return errors


class _Worker:
    """A thread that does one job at a time.

    To wake up takes a thread longer than many a job of a small network. So before the worker goes
    to sleep it spins a while, as does the caller who waits for it.
    """

    def __init__(self) -> None:
        self.jobs: SimpleQueue = SimpleQueue()
        self.done: SimpleQueue = SimpleQueue()
        self.begun, self.ended = np.zeros(1, np.int64), np.zeros(1, np.int64)
        queues = (self.jobs, self.done, self.begun, self.ended)
        threading.Thread(target=self._work, args=queues, daemon=True).start()

    def begin(self, job: tuple) -> int:
        """Have the worker call job[0](*job[1:]), and return the job's number."""
        self.jobs.put(job)
        self.begun[0] += 1
        return int(self.begun[0])

    def join(self, number: int) -> BaseException | None:
        """Wait for the job's end; return what it raised, if anything."""
        spin(self.ended, number - 1, TURNS, 0)
        # An interrupted caller may have left an earlier result behind, or lost this one.
        while self.ended[0] < number or not self.done.empty():
            ended, error = self.done.get()
            if ended == number:
                return error
        return None

    @staticmethod
    def _work(jobs: SimpleQueue, done: SimpleQueue, begun: np.ndarray, ended: np.ndarray) -> None:
        while True:
            spin(begun, ended[0], TURNS, FEW_TURNS)
            job = jobs.get()
            if job is None:
                return
            raised = None
            try:
                job[0](*job[1:])
            except BaseException as error:  # the caller raises it
                raised = error
            done.put((int(ended[0]) + 1, raised))
            ended[0] += 1
            del job, raised  # what they refer to may be large

    def __del__(self) -> None:
        self.jobs.put(None)


class _OneBlasThread:
    """While any team works, each BLAS in the process (NumPy and SciPy have their own) runs on one
    thread; then it has as many as before.

    A product on several BLAS threads would not only compete with the team: its threads wait for
    more by spinning, a tenth of a second long, and take half of the machine from it meanwhile.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._libraries: list | None = None
        self._before: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                if self._libraries is None:
                    import scipy.linalg  # noqa: F401 - has a BLAS of its own, to be found below

                    found = ThreadpoolController().lib_controllers
                    self._libraries = [lib for lib in found if lib.user_api == "blas"]
                self._before = [lib.num_threads for lib in self._libraries]
                for lib in self._libraries:
                    lib.set_num_threads(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for lib, threads in zip(self._libraries or [], self._before, strict=True):
                    lib.set_num_threads(threads)

    def after_fork(self) -> None:
        """Forget, in a child process, what other threads of its parent were doing."""
        self._lock = threading.Lock()
        if self._inside:
            for lib, threads in zip(self._libraries or [], self._before, strict=True):
                lib.set_num_threads(threads)
        self._inside = 0


ONE_BLAS_THREAD = _OneBlasThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ONE_BLAS_THREAD.after_fork)
