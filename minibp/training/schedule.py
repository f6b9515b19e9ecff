"""Schedules of learning rates and batch sizes: what an epoch is run with."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from minibp.checks import whole


def rate_at(epoch: int, rate: float, drops: Sequence[int]) -> float:
    """Return the learning rate of an epoch (1, 2, …): divided by 10 after each of the drops.

    >>> [rate_at(epoch, 1.0, (50, 60)) for epoch in (50, 51, 61)]
    [1.0, 0.1, 0.01]
    """
    return rate / 10 ** sum(epoch > drop for drop in drops)


def warmed_up(epoch: int, rate: float, warmup: int) -> float:
    """Return the learning rate of an epoch within the warm-up: it rises in equal steps, of which
    the last would be the first epoch after it.

    >>> [warmed_up(epoch, 1.0, 3) for epoch in (1, 2, 3)]
    [0.25, 0.5, 0.75]
    """
    return rate * epoch / (warmup + 1)


def cosine_at(epoch: int, rate: float, epochs: int) -> float:
    """Return rate (1 + cos(π (epoch − 1)/epochs))/2, for 1, …, epochs: from rate to nearly 0.

    Loshchilov & Hutter (2017), without restarts.

    >>> [round(cosine_at(epoch, 1.0, 4), 3) for epoch in (1, 2, 3, 4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    return rate * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2


@dataclass(frozen=True)
class BatchSchedule:
    """`size` for the first `change` epochs, then `later`; without a change, `size` throughout.

    Raises InputError for a size that is no whole number of 1 or more.
    """

    size: int
    change: int | None = None
    later: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole("batch size", self.size, 1))
        if self.later is not None:
            object.__setattr__(self, "later", whole("batch size", self.later, 1))

    @classmethod
    def parse(cls, text: str) -> "BatchSchedule":
        """Return the schedule that a text means, as `str` gives it.

        >>> BatchSchedule.parse("100 for 5 epochs, then 10")
        BatchSchedule(size=100, change=5, later=10)
        """
        return cls(*map(int, re.findall(r"\d+", text)))

    def at(self, epoch: int) -> int:
        """Return the batch size of an epoch (1, 2, …)."""
        if self.change is None or self.later is None or epoch <= self.change:
            return self.size
        return self.later

    def __str__(self) -> str:
        if self.change is None:
            return str(self.size)
        return f"{self.size} for {self.change} epochs, then {self.later}"
