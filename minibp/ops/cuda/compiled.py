"""The CUDA tier: arithmetic, blocks, Eq. 3 with V, and data in the GPU's memory."""

from contextlib import AbstractContextManager

import numpy as np

from minibp.device import Array
from minibp.ops.contract import BlockOps, Pooling, ResidentFeed
from minibp.ops.cuda.arithmetic import CudaArithmetic
from minibp.ops.cuda.block import CudaBlock
from minibp.ops.cuda.draws import CudaDraws
from minibp.ops.cuda.feed import CudaFeed
from minibp.ops.update import FROZEN, KEEP, Feedback, Formula, Update
from minibp.ops.window import Padding
from minibp.rng import Draws, Stream

NO_KEY = np.zeros(2, "uint64")


class CudaOps(CudaArithmetic):
    """Everything that the contract has."""

    compiled = resident = True

    def conv_block(
        self, stride: int, padding: Padding, relu: bool, pooling: Pooling | None
    ) -> BlockOps:
        return CudaBlock(self, relu, (stride, padding), pooling)

    def dense_block(self, relu: bool) -> BlockOps:
        return CudaBlock(self, relu)

    def feed(
        self, data: Array, labels: Array, centre: Array, scale: Array, padding: int = 0
    ) -> ResidentFeed:
        return CudaFeed(self, data, labels, centre, scale, padding)

    def working(self) -> AbstractContextManager:
        return self.device.working()

    def draws(self, stream: Stream, step: int) -> Draws:
        return CudaDraws(self, stream, step)

    def update(self, updates: list[Update]) -> None:
        for update in updates:
            w = update.w
            feedback = update.feedback or Feedback(Formula(KEEP), w)
            formula = feedback.formula
            key, step = feedback.stream or (NO_KEY, self.step.value)
            if update.setting != FROZEN:
                self.rate.set(update.rate)
            self.step.set(step)
            M, S = (w if array is None else array for array in (formula.M, formula.S))
            self.launch(
                "update_and_refresh",
                *(w.dtype, w.size),
                *(update.setting, self.dense(update.g), w, update.memory),
                *(float(update.m), float(update.d), self.rate.array, float(update.multiplier)),
                *(formula.kind, M, S, float(formula.c), feedback.V, float(formula.p)),
                *(int(feedback.stream is not None), self.key(key.tobytes())),
                *(self.step.array, w.size),
            )
