"""The CUDA tier: arithmetic, blocks, Eq. 3 with V, and data in the GPU's memory."""

from contextlib import AbstractContextManager

import numpy as np

from minibp.device import Array
from minibp.ops.contract import BlockOps, Pooling, ResidentFeed
from minibp.ops.cuda.arithmetic import CudaArithmetic
from minibp.ops.cuda.block import CudaBlock
from minibp.ops.cuda.draws import CudaDraws
from minibp.ops.cuda.feed import CudaFeed
from minibp.ops.update import FROZEN, KEEP, Formula, Update
from minibp.ops.window import Padding
from minibp.rng import Draws, Stream

AT_ONCE = 32  # parameters of a launch: a kernel is given 4 KB at most
PARAMETER = np.dtype(  # as kernels.cu has it
    [(name, "u8") for name in "g w memory M S V key".split()]
    + [(name, "f8") for name in "m d multiplier c p".split()]
    + [(name, "i4") for name in "setting kind redraws n".split()]
)
PARAMETERS = np.dtype([("each", PARAMETER, AT_ONCE)])


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
        rates = {update.rate for update in updates if update.setting != FROZEN}
        steps = {up.feedback.stream[1] for up in updates if up.feedback and up.feedback.stream}
        dtypes = {str(update.w.dtype) for update in updates}
        if max(map(len, (rates, steps, dtypes))) > 1:
            raise ValueError(
                f"updates with rates {rates}, steps {steps} and dtypes {dtypes}: expected one each."
            )
        for scalar, values in ((self.rate, rates), (self.step, steps)):
            for value in values:
                scalar.set(value)
        for first in range(0, len(updates), AT_ONCE):
            group = updates[first : first + AT_ONCE]
            gradients = [self.dense(update.g) for update in group]
            table = np.zeros((), PARAMETERS)
            for k, (update, g) in enumerate(zip(group, gradients, strict=True)):
                table["each"][k] = self._parameter(update, g)
            total = sum(update.w.size for update in group)
            arguments = table, self.rate.array, self.step.array, total
            self.launch("update_and_refresh", group[0].w.dtype, total, *arguments)

    def _parameter(self, update: Update, g: Array) -> tuple:
        back = update.feedback
        formula, V, stream = (
            (back.formula, back.V, back.stream) if back else (Formula(KEEP), None, None)
        )
        key = None if stream is None else self.key(stream[0].tobytes())
        arrays = (g, update.w, update.memory, formula.M, formula.S, V, key)
        places = [0 if array is None else self.device.address(array) for array in arrays]
        numbers = (update.m, update.d, update.multiplier, formula.c, formula.p)
        return (*places, *numbers, update.setting, formula.kind, key is not None, update.w.size)
