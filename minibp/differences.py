"""Central differences of a function, along random directions, beside its gradient."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from minibp.device import Array, Device
from minibp.ops.norm import norm
from minibp.rng import Streams

DTYPE = "float64"  # single precision leaves no digits to a difference quotient
ELEMENTWISE = 64  # arrays of at most so many elements are checked element by element
TRIES = 12  # directions drawn until one crosses no kink
HALVINGS = 500  # sets of elements looked at for those at a kink
ROUNDING = 4 * sys.float_info.epsilon
EVERY = "every direction crosses a kink: part equal values, and move zeros away from 0"


@dataclass(frozen=True)
class Row:
    """One comparison: of which array, its largest relative error and where that is."""

    layer: str
    array: str
    error: float
    where: str
    ok: bool

    def __str__(self) -> str:
        mark = "ok  " if self.ok else "FAIL"
        return f"{mark} {self.layer:<10} {self.array:<8} {self.error:9.1e}  {self.where}"


@dataclass
class Probe:
    """Compares gradients with central differences along random directions."""

    device: Device
    tolerance: float
    eps: float
    directions: int
    streams: Streams

    def number(self, x: Array) -> float:
        """Return an array without axes as a number of the host."""
        return float(self.device.to_host(x))

    def differ(self, a: Array, b: Array) -> bool:
        """Return whether two arrays differ in any element; NaN is the same as NaN."""
        return bool(self.number(((a != b) & ((a == a) | (b == b))).sum()))

    def rms(self, x: Array) -> float:
        """Return the root mean square of x."""
        return self.number(norm(x)) / x.size**0.5

    def direction(self, name: str, shape: tuple[int, ...], step: int = 0) -> Array:
        """Return random elements of size 0.5 to 1.5 and random sign: none too small to be seen."""
        rng = self.streams[name].at(step)
        return rng.signs(shape, 0.5) * (0.5 + rng.uniform(shape))

    def compare(
        self, layer: str, array: str, F: Callable, kinks: Callable, w: Array, g: Array
    ) -> Row:
        """Compare g with the differences of F, a function of w, which is perturbed in place."""
        step, typical = self.eps * (self.rms(w) or 1.0), self.number(norm(g))
        F()
        at_rest = kinks()
        found: list[tuple[float, str]] = []
        free, left_out = 1.0, 0
        for k in range(self.directions):
            slope, u = self._free_slope(F, kinks, at_rest, w, (layer, array, k), step, free)
            if slope is None and not left_out:
                at_kink = self._at_kink(F, kinks, at_rest, w, step / 2**TRIES)
                left_out = len(at_kink)
                if not 0 < left_out < w.size:
                    return Row(layer, array, float("inf"), EVERY, False)
                free = self._mask(at_kink, w.shape)
                slope, u = self._free_slope(F, kinks, at_rest, w, (layer, array, k), step, free)
            if slope is None:
                return Row(layer, array, float("inf"), EVERY, False)
            exact = self.number((g * u).sum())
            found.append((self._error(*slope, exact, typical), f"direction {k + 1}"))
        skipped = 0
        if w.size <= ELEMENTWISE:
            exact_elements = self.device.to_host(g).ravel()
            for index, exact in enumerate(exact_elements.tolist()):
                u = 0 * w
                u.reshape(-1)[index] = 1.0
                slope = self._slope(F, kinks, at_rest, w, u, step)
                if slope is None:
                    skipped += 1
                else:
                    error = self._error(*slope, exact, typical / w.size**0.5)
                    found.append((error, f"{array}{_place(index, w.shape)}"))
        worst, where = max(found, key=lambda pair: size_of(pair[0]))
        if skipped := max(skipped, left_out):
            where += f" ({skipped} element{'s' * (skipped > 1)} at a kink skipped)"
        return Row(layer, array, worst, where, worst <= self.tolerance)

    def _free_slope(
        self,
        F: Callable,
        kinks: Callable,
        at_rest: list,
        w: Array,
        name: tuple[str, str, int],
        step: float,
        free: Array | float,
    ) -> tuple[tuple[float, float] | None, Array]:
        """Return the slope along a direction that crosses no kink, None if there is none, and the
        direction, which has 0 where `free` has."""
        layer, array, k = name
        for attempt in range(TRIES):
            u = free * self.direction(f"{layer}/{array}", w.shape, TRIES * k + attempt)
            slope = self._slope(F, kinks, at_rest, w, u, step / 2**attempt)
            if slope is not None:
                break
        return slope, u

    def _at_kink(
        self, F: Callable, kinks: Callable, at_rest: list, w: Array, h: float
    ) -> list[int]:
        """Return the elements that cross a kink by a step as small as h, found by halving; none if
        they are too many to be worth it."""
        found, parts = [], [(0, w.size)]
        u = self.direction("kinks", w.shape).reshape(-1)
        for _ in range(HALVINGS):
            if not parts:
                return found
            a, e = parts.pop()
            part = 0 * u
            part[a:e] = u[a:e]
            if self._slope(F, kinks, at_rest, w, part.reshape(w.shape), h) is not None:
                continue
            middle = (a + e) // 2
            if e - a == 1:
                found.append(a)
            else:
                parts += [(a, middle), (middle, e)]
        return []

    def _mask(self, indices: list[int], shape: tuple[int, ...]) -> Array:
        """Return an array of ones with zeros at some flat indices."""
        mask = self.device.asarray([1.0], DTYPE) + 0 * self.direction("kinks", shape)
        for index in indices:
            mask.reshape(-1)[index] = 0.0
        return mask

    def _error(self, numeric: float, noise: float, exact: float, typical: float) -> float:
        scale = max(abs(numeric), abs(exact), typical, noise / self.tolerance)
        return abs(numeric - exact) / scale if scale else 0.0

    def _slope(
        self, F: Callable, kinks: Callable, at_rest: list, w: Array, u: Array, h: float
    ) -> tuple[float, float] | None:
        """Return dF/dh along u and how much of it may be rounding; None if a kink is crossed."""
        kept, ends, crossed = w.copy(), [], 0.0
        try:
            for side in (1, -1):
                w[...] = kept + side * h * u
                ends.append(F())
                crossed += sum(
                    self.number((a != b).sum()) for a, b in zip(at_rest, kinks(), strict=True)
                )
        finally:
            w[...] = kept
        if crossed:
            return None
        (high, size), (low, _) = ends
        return (high - low) / (2 * h), ROUNDING * size / h


def size_of(error: float) -> float:
    """Return an error by which the worst can be found: NaN is worse than any number."""
    return float("inf") if error != error else error


def _place(index: int, shape: tuple[int, ...]) -> str:
    """Return an index as it is written.

    >>> _place(6, (2, 4))
    '[1, 2]'
    """
    digits: list[int] = []
    for size in reversed(shape):
        index, digit = divmod(index, size)
        digits.insert(0, digit)
    return str(digits)
