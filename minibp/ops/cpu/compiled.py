"""The CPU's compiled tier: arithmetic, blocks, and Eq. 3 with V."""

from contextlib import AbstractContextManager

import numpy as np

from minibp.ops.contract import BlockOps, Ops, Pooling
from minibp.ops.cpu.arithmetic import CpuArithmetic
from minibp.ops.cpu.block import ConvBlock
from minibp.ops.cpu.dense import DenseBlock
from minibp.ops.cpu.draws import CpuDraws
from minibp.ops.cpu.threads import ONE_BLAS_THREAD
from minibp.ops.cpu.update import arguments, part, update_and_refresh
from minibp.ops.cpu.workspace import Workspace
from minibp.ops.update import Update
from minibp.ops.window import Padding
from minibp.rng import Draws, Stream


class CompiledOps(CpuArithmetic):
    """What the contract has, but for data in a memory of its own."""

    compiled = True

    @property
    def errors_stay(self) -> bool:  # type: ignore[override]
        return self.errors is None

    def kept(self, above: Ops | None = None) -> "CompiledOps":
        shared = above.errors if isinstance(above, CompiledOps) else None
        return type(self)(self.scratch, Workspace(self.team), shared or Workspace(self.team))

    def conv_block(
        self, stride: int, padding: Padding, relu: bool, pooling: Pooling | None
    ) -> BlockOps | None:
        window = (1, 1) if pooling is None else pooling.window
        if window[0] * window[1] > np.iinfo(np.int8).max:  # a place in it is kept in a byte
            return None
        return ConvBlock(self, stride, padding, relu, pooling)

    def dense_block(self, relu: bool) -> BlockOps:
        return DenseBlock(self, relu)

    def draws(self, stream: Stream, step: int) -> Draws:
        return CpuDraws(self, stream, step)

    def working(self) -> AbstractContextManager:
        return ONE_BLAS_THREAD

    def update(self, updates: list[Update]) -> None:
        jobs = [arguments(update) for update in updates]

        def share(worker: int, *_: int) -> None:
            for job in jobs:
                update_and_refresh(*job, *part(job[1].size, worker, self.team.threads))

        self.team.run(share, self.team.threads)
