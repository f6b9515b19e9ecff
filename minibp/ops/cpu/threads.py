"""Python threads that share a batch, each with a BLAS of one thread.

Kernels and BLAS release the GIL, so plain threads run side by side. A share depends on the number
of threads only, and what the threads sum up is added in their order: results are the same bits from
run to run.
"""

import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from threadpoolctl import ThreadpoolController

from minibp.device import available_cores
from minibp.errors import InputError


class Team:
    """A number of threads that work on shares of the same task; the caller is one of them."""

    def __init__(self, threads: int | None = None):
        if threads is None:
            threads = available_cores()
        if not isinstance(threads, int) or threads < 1:
            raise InputError(f"threads {threads!r}: expected an integer of 1 or more.")
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def run(self, task: Callable[[int, int, int], None], size: int) -> None:
        """Call task(worker, begin, end) for each worker's share of 0 … size, and wait for all.

        An exception of any share is raised once all have ended.
        """
        shares = self.shares(size)
        with ONE_BLAS_THREAD:
            if len(shares) == 1:
                task(0, *shares[0])
                return
            # The caller's context goes along: numpy.errstate is part of it.
            futures = [
                self._executor().submit(contextvars.copy_context().run, task, worker, *share)
                for worker, share in enumerate(shares)
                if worker
            ]
            try:
                task(0, *shares[0])
            finally:
                errors = [future.exception() for future in futures]
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

    def _executor(self) -> ThreadPoolExecutor:
        if self._pool is None or self._process != os.getpid():  # a fork leaves threads behind
            self._pool = ThreadPoolExecutor(self.threads - 1, "minibp")
            self._process = os.getpid()
        return self._pool


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


ONE_BLAS_THREAD = _OneBlasThread()
