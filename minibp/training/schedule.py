"""Schedules of learning rates and batch sizes: what an epoch is run with."""

import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass

from minibp.errors import InputError


def rate_at(epoch: int, rate: float, drops: Sequence[int]) -> float:
    """Return the learning rate of an epoch (1, 2, …): divided by 10 after each of the drops.

    >>> [rate_at(epoch, 1.0, (50, 60)) for epoch in (50, 51, 61)]
    [1.0, 0.1, 0.01]
    """
    return rate / 10 ** sum(epoch > drop for drop in drops)


@dataclass(frozen=True)
class BatchSchedule:
    """`size` for the first `change` epochs, then `later`; without a change, `size` throughout.

    Raises InputError for a size that is no whole number of 1 or more.
    """

    size: int
    change: int | None = None
    later: int | None = None

    def __post_init__(self) -> None:
        for size in (self.size, self.size if self.later is None else self.later):
            if not isinstance(size, numbers.Integral) or isinstance(size, bool) or size < 1:
                raise InputError(f"batch size {size}: expected a whole number of 1 or more.")
        object.__setattr__(self, "size", int(self.size))

    @classmethod
    def parse(cls, text: str) -> "BatchSchedule":
        """Return the schedule that a text means, as `str` gives it.

        >>> BatchSchedule.parse("100 for 5 epochs, then 10")
        BatchSchedule(size=100, change=5, later=10)
        """
        return cls(*map(int, re.findall(r"\d+", text)))

    def at(self, epoch: int) -> int:
        """Return the batch size of an epoch (1, 2, …)."""
        return self.size if self.change is None or epoch <= self.change else self.later

    def __str__(self) -> str:
        if self.change is None:
            return str(self.size)
        return f"{self.size} for {self.change} epochs, then {self.later}"
