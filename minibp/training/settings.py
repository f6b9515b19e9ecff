"""Named settings with a default: how they are declared, checked and read from a text.

`RunSettings` are those that every run has. A study adds its own: see minibp/study/settings.py.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeVar

from minibp.checks import plain
from minibp.errors import InputError, unknown
from minibp.training.augment import KINDS

Self = TypeVar("Self", bound="RunSettings")


def one_of(default: str, *others: str, help: str) -> Any:
    """Declare a setting with a closed set of values."""
    return field(default=default, metadata={"choices": (default, *others), "help": help})


def number(default: float, low: float, high: float = float("inf"), *, help: str) -> Any:
    """Declare a setting that is a number from low to high; a whole one if its default is an int."""
    return field(default=default, metadata={"range": (low, high), "help": help})


def flag(default: bool, *, help: str) -> Any:
    """Declare a setting that is on or off."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class RunSettings:
    """How a run computes: of the loss's gradient, BN's moments for evaluation, and the data.

    >>> RunSettings(bn_batches=5).bn_batches
    5
    """

    gradient: str = one_of("mean", "sum", help="mean or sum of the gradient over the batch")
    bn_alpha: float = number(0.05, 0, 1, help="α of the moving averages of BN's moments")
    bn_batches: int = number(20, 1, help="training batches that BN's moments are averaged over")
    bn_average: str = one_of("std", "variance", help="what is averaged beside the means")
    preprocess: str = one_of(
        *("auto", "mean", "gcn+zca", "standardize", "channels", "unit", "none"),
        help="auto: gcn+zca for CIFAR, standardize for TIMIT, else mean",
    )
    augmentation: str = one_of(*KINDS, help="random crops and mirror images of training images")
    crop_padding: int = number(4, 1, help="black pixels on each side of an image to crop")
    schedule: str = one_of("drops", "cosine", help="of the learning rate, after the warm-up")
    warmup: int = number(0, 0, help="epochs in which the learning rate rises in equal steps")
    diagnose_every: int = number(
        0, 0, help="steps between diagnostics within the first epochs; 0: at the end of epochs only"
    )
    diagnose_epochs: int = number(1, 1, help="how many epochs these are")
    last_batch: str = one_of("keep", "drop", help="a smaller last batch of an epoch")

    def __post_init__(self) -> None:
        """Raise InputError for a value that a setting cannot have."""
        for entry in dataclasses.fields(self):
            value, meta = plain(getattr(self, entry.name)), entry.metadata
            object.__setattr__(self, entry.name, value)
            if "choices" in meta and value not in meta["choices"]:
                raise InputError(
                    f"setting {entry.name}={value!r}: expected one of {', '.join(meta['choices'])}."
                )
            if type(entry.default) is bool and type(value) is not bool:
                raise InputError(f"setting {entry.name}={value!r}: expected true or false.")
            if "range" in meta:
                low, high = meta["range"]
                _check_range(entry.name, value, low, high, type(entry.default) is int)

    def replace(self: Self, **changes: Any) -> Self:
        """Return a copy with some settings changed; unknown names raise InputError."""
        known = [entry.name for entry in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise unknown("setting", name, known)
        return dataclasses.replace(self, **changes)

    @classmethod
    def choices(cls, name: str) -> tuple[str, ...]:
        """Return the values that a setting can take."""
        return cls.__dataclass_fields__[name].metadata["choices"]

    @classmethod
    def from_text(cls, name: str, text: str) -> Any:
        """Return the value that a text means for a setting, in the setting's type."""
        kinds: dict[str, Any] = {
            entry.name: type(entry.default) for entry in dataclasses.fields(cls)
        }
        if name not in kinds:
            raise unknown("setting", name, kinds)
        if kinds[name] is bool:
            if text.lower() not in ("true", "false"):
                raise InputError(f"setting {name}={text!r}: expected true or false.")
            return text.lower() == "true"
        try:
            return kinds[name](text)
        except ValueError:
            raise InputError(f"setting {name}={text!r}: expected {kinds[name].__name__}.") from None


def _check_range(name: str, value: Any, low: float, high: float, whole: bool) -> None:
    """Raise InputError unless a value is a finite number, or a whole one, in a range."""
    kinds = int if whole else int | float
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if not fits or not low <= value <= high or abs(value) == float("inf"):
        span = f"of {low} or more" if high == float("inf") else f"from {low} to {high}"
        kind = "whole" if whole else "finite"
        raise InputError(f"setting {name}={value!r}: expected a {kind} number {span}.")
