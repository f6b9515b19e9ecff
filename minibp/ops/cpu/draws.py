"""A named stream's random numbers by the CPU's threads."""

import numpy as np

from minibp.ops.cpu.arithmetic import CpuArithmetic
from minibp.ops.cpu.philox import signs, uniform
from minibp.ops.draws import KernelDraws
from minibp.rng import Stream


class CpuDraws(KernelDraws):
    """Each thread draws its share, in whole blocks of eight numbers."""

    def __init__(self, ops: CpuArithmetic, stream: Stream, step: int):
        super().__init__(stream, step)
        self.ops = ops

    def fill(self, out: np.ndarray, p: float | None) -> None:
        flat, key, first, step = out.reshape(-1), self.stream.key, self.drawn, self.step

        def share(_: int, a: int, e: int) -> None:
            part = flat[8 * a : 8 * e]
            if p is None:
                uniform(first + 8 * a, key, step, part)
            else:
                signs(first + 8 * a, key, step, np.float32(p), part)

        self.ops.spread(share, -(-flat.size // 8), 64)
