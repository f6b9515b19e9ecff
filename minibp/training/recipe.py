"""What a run is made from. A run knows no more: neither conditions nor the networks of a paper."""

import dataclasses
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minibp import usercode
from minibp.device import Device, check_dtype
from minibp.errors import InputError, printable
from minibp.network import Network
from minibp.optim import Optimizer
from minibp.training import preprocess
from minibp.training.data import Data
from minibp.training.schedule import BatchSchedule, rate_at
from minibp.training.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything but the data and the device that decides a run's numbers.

    Derive from it, and say how the network and its optimizer are made. A recipe can be pickled, so
    that a sweep's workers have it, too: its class is one of a module.

    rate      η in the first epoch, 0 or more
    epochs    how many, 1 or more
    batches   the batch size of each epoch
    drops     the epochs after which the rate is divided by 10
    seed      of all random numbers
    dtype     "float32" to train, "float64" to check
    settings  how a run computes

    Raises InputError for values that these cannot have.
    """

    rate: float
    epochs: int = 10
    batches: BatchSchedule = field(default_factory=lambda: BatchSchedule(100))
    drops: Sequence[int] | None = ()
    seed: int = 0
    dtype: str = "float32"
    settings: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        if not whole(self.epochs) or self.epochs < 1:
            raise InputError(f"epochs {self.epochs}: expected a whole number of 1 or more.")
        if not 0 <= self.rate < float("inf"):
            raise InputError(f"rate {self.rate}: expected a finite number of 0 or more.")
        drops = tuple(self.drops or ())
        if any(not whole(drop) or drop < 0 for drop in drops):
            raise InputError(f"rate drops {list(drops)}: expected epochs of 0 or more.")
        object.__setattr__(self, "epochs", int(self.epochs))
        object.__setattr__(self, "rate", float(self.rate))
        object.__setattr__(self, "drops", tuple(map(int, drops)))

    def network(self, device: Device, shape: tuple[int, ...], classes: int) -> Network:
        """Return the network, on the device, for inputs of a shape (H, W, C) or (I,)."""
        raise NotImplementedError

    def optimizer(self, network: Network) -> Optimizer:
        """Return what moves the network's parameters, with this recipe's rate."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What it is called in records, tables and names of folders."""
        return type(self).__name__

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each of a user's files that it depends on, by the path as given."""
        path = usercode.file_of(type(self))
        return {} if path is None else {str(path): usercode.checksum(path)}

    def prepare(self, data: Data) -> preprocess.Preprocess:
        """Return what turns samples into inputs, fitted on the training set."""
        return preprocess.fit(self.settings.preprocess, data.X_train, self.dtype)

    def check(self, data: Data) -> None:
        """Raise InputError unless the data is such as the network takes."""

    def schedules(self) -> list[BatchSchedule]:
        """Return the batch schedules that it is to be run with; the better one counts."""
        return [self.batches]

    def rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch (1, 2, …)."""
        return rate_at(epoch, self.rate, self.drops or ())

    def identity(self) -> dict[str, Any]:
        """Return what must agree for two results to be of the same recipe, JSON-able."""
        own = {
            "epochs": self.epochs,
            "batch_size": self.batches.size if self.batches.change is None else str(self.batches),
            "base_rate": self.rate,
            "rate_drops": list(self.drops or ()),
            "dtype": self.dtype,
        }
        return {
            "condition": printable(self.name),
            "seed": self.seed,
            "settings": own | dataclasses.asdict(self.settings),
            "files": {printable(path): sha for path, sha in self.files.items()},
        }

    def defaults(self) -> dict[str, Any]:
        """Return the values of settings that an older record has not."""
        return dataclasses.asdict(type(self.settings)())


def whole(value: object) -> bool:
    """Return whether a value is a whole number: Python's or NumPy's, but no truth value."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
