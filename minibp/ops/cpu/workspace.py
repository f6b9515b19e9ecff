"""Arrays that are allocated once and used again in each step."""

import math

import numpy as np

from minibp.ops.cpu.threads import Team


class Workspace:
    """Buffers by name, as large as was ever asked for.

    An array from it holds its values until the same name is asked for again, so results of one step
    are overwritten by the next.
    """

    def __init__(self, team: Team):
        self.team = team
        self._buffers: dict[tuple, np.ndarray] = {}

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return sum(buffer.size for buffer in self._buffers.values())

    def array(self, name: object, shape: tuple[int, ...], dtype: object) -> np.ndarray:
        """Return an array with that name and shape; what is in it is left as it is."""
        size, key = math.prod(shape), (name, np.dtype(dtype))
        buffer = self._buffers.get(key)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[key] = np.zeros(size, dtype)
        return buffer[:size].reshape(shape)


def usable(x: np.ndarray) -> np.ndarray:
    """Return x itself if a kernel can take it, else a copy: contiguous, aligned and writable, so
    that each kernel is compiled once for each dtype."""
    flags = x.flags
    return x if flags.c_contiguous and flags.aligned and flags.writeable else np.array(x, order="C")
