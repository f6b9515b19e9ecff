"""The paper's protocol (Sec. 5): epochs, learning rates and batch sizes."""

from minibp.errors import InputError
from minibp.study.conditions import Condition
from minibp.training.schedule import BatchSchedule

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
