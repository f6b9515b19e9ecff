"""A named stream's random numbers, drawn on the device: the very bits that the host would draw."""

from typing import Any

from minibp.device import Array
from minibp.ops.cuda.arithmetic import CudaArithmetic
from minibp.rng import Draws, Stream


class CudaDraws(Draws):
    """Uniform numbers and signs by a kernel, which reads the step's number in the device's memory;
    everything else from `host`, which a step that is replayed cannot do."""

    def __init__(self, ops: CudaArithmetic, stream: Stream, step: int):
        self.ops, self.stream, self.step = ops, stream, step
        self.device, self.dtype = stream.device, stream.dtype
        self._drawn = 0  # by the kernel so far
        self._host: Any = None

    @property
    def host(self) -> Any:  # type: ignore[override]
        """NumPy's generator, past what the kernel has drawn; it draws all that follows."""
        if self._host is None:
            self._host = self.stream.at(self.step, past=self._drawn).host
        return self._host

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Return M ~ U[0, 1)."""
        return super().uniform(shape) if self._host else self._launch("draw_uniform", shape)

    def signs(self, shape: tuple[int, ...], p: float) -> Array:
        """Return S_p: each element −1 with probability p, else 1."""
        return (
            super().signs(shape, p) if self._host else self._launch("draw_signs", shape, float(p))
        )

    def _launch(self, kernel: str, shape: tuple[int, ...], *more: Any) -> Array:
        ops, out = self.ops, self.ops.xp.empty(shape, self.dtype)
        ops.step.set(self.step)  # in a replay it is there before
        blocks = -(-(self._drawn % 8 + out.size) // 8)  # of eight numbers, a thread for each
        where = (ops.key(self.stream.key.tobytes()), ops.step.array, self._drawn, out, out.size)
        ops.launch(kernel, out.dtype, blocks, *where, *more)
        self._drawn += out.size
        return out
