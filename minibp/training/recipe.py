"""What a run is made from. A run knows no more: neither conditions nor the networks of a paper."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minibp import usercode
from minibp.checks import finite, is_whole, plain, whole
from minibp.device import Device, check_dtype
from minibp.errors import InputError, printable
from minibp.network import Network
from minibp.optim import Optimizer
from minibp.training import preprocess
from minibp.training.augment import Augment
from minibp.training.data import Data
from minibp.training.schedule import BatchSchedule, cosine_at, rate_at, warmed_up
from minibp.training.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything but the data and the device that decides a run's numbers.

    Derive from it, and say how the network and its optimizer are made. A recipe can be pickled, so
    that a sweep's workers have it, too: its class is one of a module.

    rate      η in the first epoch, 0 or more
    epochs    how many, 1 or more
    batches   the batch size of each epoch
    drops     the epochs after which the rate is divided by 10; none with a cosine schedule
    seed      of all random numbers
    dtype     "float32" to train, "float64" to check
    settings  how a run computes

    Raises InputError for values that these cannot have.
    """

    rate: float
    epochs: int = 10
    batches: BatchSchedule = field(default_factory=lambda: BatchSchedule(100))
    drops: Sequence[int] = ()
    seed: int = 0
    dtype: str = "float32"
    settings: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        drops = tuple(self.drops)
        if not all(is_whole(drop) and drop >= 0 for drop in drops):
            raise InputError(f"rate drops {list(drops)}: expected epochs of 0 or more.")
        if not isinstance(self.settings, RunSettings):
            raise InputError(f"settings {self.settings!r}: expected a RunSettings object.")
        if drops and self.settings.schedule == "cosine":
            raise InputError(
                f"rate drops {list(drops)} with schedule=cosine: expected one of the two."
            )
        if self.settings.warmup > self.epochs:
            raise InputError(
                f"a warm-up of {self.settings.warmup} epochs in a run of {self.epochs}: expected "
                "no more than it has."
            )
        changes = {
            "epochs": whole("epochs", self.epochs, 1),
            "rate": finite("rate", self.rate),
            "drops": tuple(map(int, drops)),
            "seed": whole("seed", self.seed),
        }
        for name, value in changes.items():
            object.__setattr__(self, name, value)

    def network(self, device: Device, shape: tuple[int, ...], classes: int) -> Network:
        """Return the network, on the device, for inputs of a shape (H, W, C) or (I,).

        It is called more than once, and must then give the same: draw from named streams.
        """
        raise NotImplementedError("a recipe says network(self, device, shape, classes)")

    def optimizer(self, network: Network) -> Optimizer:
        """Return what moves the network's parameters, with this recipe's rate."""
        raise NotImplementedError("a recipe says optimizer(self, network)")

    @property
    def name(self) -> str:
        """What it is called in records, tables and names of folders."""
        return type(self).__name__

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each of a user's files that it depends on, by the path as given."""
        bases = [cls for cls in type(self).__mro__ if issubclass(cls, Recipe)]
        paths = {str(path) for cls in bases if (path := usercode.file_of(cls)) is not None}
        return {path: usercode.checksum(path) for path in sorted(paths)}

    def prepare(self, data: Data) -> preprocess.Preprocess:
        """Return what turns samples into inputs, fitted on the training set."""
        return preprocess.fit(self.settings.preprocess, data.X_train, self.dtype)

    def augment(self, data: Data) -> Augment | None:
        """Return what moves and mirrors training images; raise InputError if they are none."""
        shape = data.X_train.shape[1:]
        return Augment.of(self.settings.augmentation, self.settings.crop_padding, shape)

    def check(self, data: Data) -> None:
        """Raise InputError unless the data is such as the network takes."""

    def schedules(self) -> list[BatchSchedule]:
        """Return the batch schedules that it is to be run with; the better one counts."""
        return [self.batches]

    def rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch (1, 2, …)."""
        warmup = self.settings.warmup
        if epoch <= warmup:
            return warmed_up(epoch, self.rate, warmup)
        if self.settings.schedule == "cosine":
            return cosine_at(epoch - warmup, self.rate, self.epochs - warmup)
        return rate_at(epoch, self.rate, self.drops)

    def identity(self) -> dict[str, Any]:
        """Return what must agree for two results to be of the same recipe, JSON-able."""
        common = {entry.name for entry in dataclasses.fields(Recipe)}
        fields = [entry.name for entry in dataclasses.fields(self) if entry.name not in common]
        own = {name: self._recorded(name) for name in fields} | {
            "epochs": self.epochs,
            "batch_size": self.batches.size if self.batches.change is None else str(self.batches),
            "base_rate": self.rate,
            "rate_drops": list(self.drops),
            "dtype": self.dtype,
        }
        return {
            "condition": printable(self.name),
            "seed": self.seed,
            "settings": own | dataclasses.asdict(self.settings),
            "files": {printable(path): sha for path, sha in self.files.items()},
        }

    def _recorded(self, name: str) -> Any:
        """Return a field as JSON has it, where a tuple is a list; raise InputError if it cannot."""
        value = plain(getattr(self, name))
        if dataclasses.is_dataclass(value):
            return value  # a subclass says how
        try:
            return json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"recipe {type(self).__name__}: {name} = {value!r} cannot stand in a record "
                f"({error}): expected numbers, texts, None, and lists and dicts of them."
            ) from error

    def defaults(self) -> dict[str, Any]:
        """Return the values of settings that an older record has not."""
        return dataclasses.asdict(type(self.settings)())
