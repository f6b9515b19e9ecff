"""The paper's Tables 2–5: their conditions, data sets and published error rates."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minibp.errors import unknown
from minibp.study.conditions import Condition

FOLDER = Path(__file__).with_name("published")
TITLES = {
    "2": "Table 2, Experiment A: sign-concordant feedback",
    "3": "Table 3, Experiment B: signs flipped with probability p",
    "4c1": "Table 4, Experiment C1: fixed random feedback",
    "4c2": "Table 4, Experiment C2: the last layer, or all others, frozen",
    "5": "Table 5: settings of Batch Manhattan",
}
PARTS = {"4": ("4c1", "4c2")}  # Table 4 has two halves with columns of their own
MARGIN = 3.0  # percentage points from which on the paper colours a number

# The data sets as the tables name them, and as --dataset takes them.
DATASETS = {
    "MNIST": "mnist",
    "CIFAR": "cifar10",
    "CIFAR100": "cifar100",
    "SVHN": "svhn",
    "STL10": "stl10",
    "Cal101": "caltech101",
    "Cal256-101": "caltech256-101",
    "iCub": "icubworld",
    "Flowers17": "flowers17",
    "Flowers102": "flowers102",
    "PubFig83-ID": "pubfig83-id",
    "SUFR-W-ID": "sufrw-id",
    "LFW-ID": "lfw-id",
    "Scene67": "indoor67",
    "TIMIT80": "timit80",
}


@dataclass(frozen=True)
class Table:
    """One of the paper's tables.

    heads   column heads as printed
    errors  error rates in %, by data set (as --dataset takes it) and condition
    """

    name: str
    title: str
    heads: tuple[str, ...]
    errors: dict[str, dict[Condition, float]]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions of the columns."""
        return tuple(Condition.parse(head) for head in self.heads)


def tables(*names: str) -> list[Table]:
    """Return tables by name, "2", "3", "4" (both halves), "4c1", "4c2", "5"; without names all.

    >>> [table.name for table in tables("4", "5")]
    ['4c1', '4c2', '5']
    >>> from minibp.study.conditions import Condition
    >>> tables("2")[0].errors["mnist"][Condition.parse("frSF+BN+BM")]
    0.91
    """
    known = [*TITLES, *PARTS]
    for name in names:
        if name not in known:
            raise unknown("table", name, known)
    wanted = [part for name in names or TITLES for part in PARTS.get(name, (name,))]
    return [_read(name) for name in dict.fromkeys(wanted)]


def conditions(*names: str) -> list[Condition]:
    """Return the distinct conditions of tables in the order of their columns.

    >>> len(conditions()), len(conditions("2"))
    (35, 11)
    """
    return list(dict.fromkeys(c for table in tables(*names) for c in table.conditions))


def published(dataset: str, condition: Condition | str) -> float | None:
    """Return the paper's error rate in %, or None if it has none for that data set and condition.

    >>> published("mnist", Condition.parse("uSF"))
    88.65
    """
    for table in tables():
        error = table.errors.get(dataset, {}).get(condition)
        if error is not None:
            return error
    return None


@cache
def _read(name: str) -> Table:
    with open(FOLDER / f"table{name}.csv", newline="", encoding="utf-8") as file:
        (_, *heads), *rows = csv.reader(file)
    columns = [Condition.parse(head) for head in heads]
    errors = {
        DATASETS[dataset]: dict(zip(columns, map(float, values), strict=True))
        for dataset, *values in rows
    }
    return Table(name, TITLES[name], tuple(heads), errors)
