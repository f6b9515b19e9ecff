"""A named stream's random numbers by a tier's kernels: the very bits that NumPy would draw."""

from typing import Any

from minibp.device import Array
from minibp.rng import Draws, Stream


class KernelDraws(Draws):
    """Uniform numbers and signs by `fill`; everything else from `host`, which takes over for all
    that follows."""

    def __init__(self, stream: Stream, step: int):
        self.stream, self.step = stream, step
        self.device, self.dtype = stream.device, stream.dtype
        self.drawn = 0  # by kernels so far
        self._host: Any = None

    def fill(self, out: Array, p: float | None) -> None:
        """Set out to the draws number `drawn`, … : uniform, or signs with probability p of −1."""
        raise NotImplementedError

    @property
    def host(self) -> Any:  # type: ignore[override]
        """NumPy's generator, past what the kernels have drawn."""
        if self._host is None:
            self._host = self.stream.at(self.step, past=self.drawn).host
        return self._host

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Return M ~ U[0, 1)."""
        return super().uniform(shape) if self._host else self._filled(shape, None)

    def signs(self, shape: tuple[int, ...], p: float) -> Array:
        """Return S_p: each element −1 with probability p, else 1."""
        return super().signs(shape, p) if self._host else self._filled(shape, float(p))

    def _filled(self, shape: tuple[int, ...], p: float | None) -> Array:
        out = self.device.xp.empty(shape, self.dtype)
        self.fill(out, p)
        self.drawn += out.size
        return out
