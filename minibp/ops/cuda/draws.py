"""A named stream's random numbers, drawn on the device."""

from minibp.device import Array
from minibp.ops.cuda.arithmetic import CudaArithmetic
from minibp.ops.draws import KernelDraws
from minibp.rng import Stream


class CudaDraws(KernelDraws):
    """By a kernel that reads the step's number in the device's memory, so that a step which draws
    can be replayed. `host` is for a step that is not."""

    def __init__(self, ops: CudaArithmetic, stream: Stream, step: int):
        super().__init__(stream, step)
        self.ops = ops

    def fill(self, out: Array, p: float | None) -> None:
        ops, kernel = self.ops, "draw_uniform" if p is None else "draw_signs"
        ops.step.set(self.step)  # in a replay it is there before
        blocks = -(-(self.drawn % 8 + out.size) // 8)  # of eight numbers, a thread for each
        where = (ops.key(self.stream.key.tobytes()), ops.step.array, self.drawn, out, out.size)
        ops.launch(kernel, out.dtype, blocks, *where, *([] if p is None else [p]))
