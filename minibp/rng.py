"""Named streams of random numbers, each a function of (seed, name, step).

Every stream is NumPy's counter-based Philox: its key is a hash of the seed and the stream's name,
its counter holds the step. So a stream has no state to save, resuming needs only the step, and the
same seed gives the same W₀, M, S and batches on every device and under every condition: runs that
are compared are paired.
"""

import hashlib
from collections.abc import Callable
from functools import cached_property

import numpy as np

from minibp.device import Array, Device, get_device
from minibp.errors import InputError


class Draws:
    """The numbers of one stream at one step, as arrays of a device.

    Floats are drawn in single precision and widened, so that a float64 run checks the very network
    that a float32 run trains.
    """

    def __init__(self, generator: Callable[[], np.random.Generator], device: Device, dtype: str):
        self._generator, self.device, self.dtype = generator, device, dtype

    @cached_property
    def host(self) -> np.random.Generator:
        """The NumPy generator, for distributions not offered here; it is made when asked for."""
        return self._generator()

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Return M ~ U[0, 1)."""
        return self.device.asarray(self.host.random(shape, np.float32), self.dtype)

    def normal(self, shape: tuple[int, ...], std: float = 1.0) -> Array:
        """Return draws from N(0, std²)."""
        return self.device.asarray(std * self.host.standard_normal(shape, np.float32), self.dtype)

    def signs(self, shape: tuple[int, ...], p: float) -> Array:
        """Return S_p: each element −1 with probability p, else 1. A larger p keeps the flips of a
        smaller one and adds to them."""
        flip = self.host.random(shape, np.float32) < p
        return self.device.asarray(np.where(flip, -1, 1), self.dtype)

    def permutation(self, n: int) -> np.ndarray:
        """Return 0 … n−1 in random order, on the host."""
        return self.host.permutation(n)


class Stream:
    """One named stream. `at(step)` opens it; the same step always gives the same numbers."""

    def __init__(self, seed: int, name: str, device: Device, dtype: str):
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        self.key = np.frombuffer(digest[:16], dtype="<u8")
        self.device, self.dtype = device, dtype

    def at(self, step: int, past: int = 0) -> Draws:
        """Return the draws of one step (0, 1, …).

        past  how many uniform numbers or signs are left out at the beginning
        """

        def generator() -> np.random.Generator:
            # The two low words of the counter are the position within the step: 2**128 blocks.
            bits = np.random.Philox(key=self.key, counter=[0, 0, step, 0])
            host = np.random.Generator(bits)
            host.random(past, np.float32)
            return host

        return Draws(generator, self.device, self.dtype)


class Streams:
    """All streams of a run, by name.

    >>> Streams(seed=0)["shuffle"].at(step=1).permutation(5)
    array([1, 2, 4, 3, 0])
    """

    def __init__(self, seed: int, device: Device | None = None, dtype: str = "float32"):
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError(f"seed {seed!r}: expected an integer of 0 or more.")
        self.seed, self.device, self.dtype = int(seed), device or get_device("cpu"), dtype

    def __getitem__(self, name: str) -> Stream:
        return Stream(self.seed, name, self.device, self.dtype)
