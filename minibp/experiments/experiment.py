"""An experiment: a recipe on a data set, with each learning rate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minibp.checks import finite, is_number, plain, whole
from minibp.errors import InputError, printable
from minibp.training.recipe import Recipe
from minibp.training.schedule import BatchSchedule


@dataclass(frozen=True)
class Trial:
    """One run of an experiment.

    name    of its folder, within the experiment's
    factor  its learning rate, as a multiple of the experiment's
    """

    name: str
    factor: float
    recipe: Recipe


@dataclass(frozen=True)
class Experiment:
    """Everything that decides an experiment's numbers, but for the data itself.

    dataset       the data set's name
    recipe        what is trained, at rate factor 1
    rate_factors  a trial for each, and for each of the recipe's batch schedules
    train_limit   how many training samples are drawn by the seed; None: all
    holdout       the share of them that is held out, 0 to 1, for an honest score; None: nothing

    Raises InputError for rate factors that are none.
    """

    dataset: str
    recipe: Recipe
    rate_factors: Sequence[float] = (1.0,)
    train_limit: int | None = None
    holdout: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rate_factors, str) or not isinstance(self.rate_factors, Iterable):
            raise InputError(f"rate factors {self.rate_factors!r}: expected several numbers.")
        factors, rate = list(map(plain, self.rate_factors)), self.recipe.rate
        if not factors or not all(is_number(f) and 0 <= f < float("inf") for f in factors):
            raise InputError(f"rate factors {factors}: expected 0 or more each.")
        if len(set(factors)) < len(factors):
            raise InputError(f"rate factors {factors}: one is given twice.")
        if not all(rate * factor < float("inf") for factor in factors):
            raise InputError(
                f"base rate {rate} times rate factors {factors}: expected finite learning rates."
            )
        self._check_recipe()
        object.__setattr__(self, "rate_factors", tuple(map(float, factors)))
        if self.train_limit is not None:
            object.__setattr__(self, "train_limit", whole("train limit", self.train_limit))
        if self.holdout is not None:
            object.__setattr__(self, "holdout", finite("holdout", self.holdout))

    def _check_recipe(self) -> None:
        what = f"recipe {type(self.recipe).__name__}"
        if not isinstance(self.recipe.name, str):
            raise InputError(f"{what}: name is {self.recipe.name!r}: expected a text.")
        identity = self.recipe.identity()
        needed = {"condition": str, "seed": int, "settings": dict, "files": dict}
        for key, kind in needed.items():
            given = identity.get(key) if isinstance(identity, dict) else None
            if not isinstance(given, kind):
                raise InputError(
                    f"{what}: identity() has {key} = {given!r}: expected a {kind.__name__}, as "
                    "Recipe.identity() returns it."
                )
        schedules = self.recipe.schedules()
        if not schedules or not all(isinstance(each, BatchSchedule) for each in schedules):
            raise InputError(f"{what}: schedules() are {schedules!r}: expected BatchSchedules.")

    @property
    def seed(self) -> int:
        """The recipe's seed, which draws the training samples, too."""
        return self.recipe.seed

    def trials(self) -> list[Trial]:
        """Return the runs, in the order in which they are done."""
        schedules = self.recipe.schedules()
        return [
            Trial(
                f"rate-{shortest(factor)}" + (f"-schedule{k + 1}" if k else ""),
                factor,
                replace(self.recipe, rate=self.recipe.rate * factor, batches=batches),
            )
            for factor in self.rate_factors
            for k, batches in enumerate(schedules)
        ]

    def trial(self, name: str) -> Trial:
        """Return the trial of a name."""
        return next(trial for trial in self.trials() if trial.name == name)

    def identity(self) -> dict[str, Any]:
        """Return what must agree for two records to be of the same experiment, JSON-able."""
        recipe = self.recipe.identity()
        if recipe != self.recipe.identity():
            raise InputError(
                f"recipe {self.recipe.name}: identity() is another each time: expected what "
                "decides the run's numbers, and nothing else."
            )
        own = {
            "rate_factors": list(self.rate_factors),
            "train_limit": self.train_limit,
            "holdout": self.holdout,
        }
        settings = {"settings": recipe["settings"] | own}
        return {"dataset": printable(self.dataset)} | recipe | settings


def shortest(number: float) -> str:
    """Return a number in as few digits as tell it from every other.

    >>> shortest(1.0), shortest(0.01), shortest(1.0000001)
    ('1', '0.01', '1.0000001')
    """
    short = f"{number:g}"
    return short if float(short) == number else repr(number)
