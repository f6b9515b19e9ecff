"""The paper's schedules of learning rates and batch sizes (Sec. 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

from minibp.errors import InputError
from minibp.study.conditions import Condition

EPOCHS = 65
DROPS = (50, 60)  # the rate is divided by 10 after these epochs
BASE_RATE = 5e-4
FACTORS = (100.0, 10.0, 1.0, 0.1, 0.01)
BATCH_SIZE = 100


def rate_drops(epochs: int) -> tuple[int, int]:
    """Return the epochs after which the rate drops, in the paper's proportion.

    >>> rate_drops(65), rate_drops(13)
    ((50, 60), (10, 12))
    """
    first, second = (round(epochs * drop / EPOCHS) for drop in DROPS)
    return first, second


def rate_at(epoch: int, rate: float, drops: Sequence[int]) -> float:
    """Return the learning rate of an epoch (1, 2, …): divided by 10 after each of the drops.

    >>> [rate_at(epoch, 1.0, (50, 60)) for epoch in (50, 51, 61)]
    [1.0, 0.1, 0.01]
    """
    return rate / 10 ** sum(epoch > drop for drop in drops)


@dataclass(frozen=True)
class BatchSchedule:
    """`size` for the first `change` epochs, then `later`; without a change, `size` throughout."""

    size: int
    change: int | None = None
    later: int | None = None

    def at(self, epoch: int) -> int:
        """Return the batch size of an epoch (1, 2, …)."""
        return self.size if self.change is None or epoch <= self.change else self.later

    def __str__(self) -> str:
        if self.change is None:
            return str(self.size)
        return f"{self.size} for {self.change} epochs, then {self.later}"


def batch_schedules(condition: Condition, batch_size: int) -> list[BatchSchedule]:
    """Return the batch schedules a condition is run with; the better one counts.

    One for all but uSF+BM, the paper's "only entry with slightly different training procedures".

    >>> [str(schedule) for schedule in batch_schedules(Condition.parse("uSF+BM"), 100)]
    ['100', '100 for 3 epochs, then 500']
    """
    if batch_size < 1:
        raise InputError(f"batch size {batch_size}: expected 1 or more.")
    schedules = [BatchSchedule(batch_size)]
    if condition.feedback == "uSF" and condition.bm and not condition.bn:
        schedules.append(BatchSchedule(batch_size, 3, 5 * batch_size))
    return schedules
