"""Which samples are for training and which for testing, drawn by a seed (Sec. 5)."""

from collections.abc import Mapping, Sequence

import numpy as np

from minibp.errors import DamagedFileError
from minibp.rng import Streams

TEST_SHARE = 0.2  # of each class, where there is no published split

Labelled = list[tuple[str, int]]  # names and labels


def by_folder(names: Sequence[str]) -> dict[str, list[str]]:
    """Return file names by the folder they lie in, both in alphabetical order.

    Raises DamagedFileError if two folders in different places have one name: they may be two copies
    of the same samples.

    >>> by_folder(["x/b/2.jpg", "x/a/1.jpg", "x/b/1.jpg"])
    {'a': ['x/a/1.jpg'], 'b': ['x/b/1.jpg', 'x/b/2.jpg']}
    """
    found: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for name in sorted(names):
        place, slash, _ = name.rpartition("/")
        if not slash:
            continue
        own = place.rpartition("/")[2]
        if places.setdefault(own, place) != place:
            raise DamagedFileError(
                f"two folders are named {own!r}: {places[own]} and {place}. Give the path of the "
                "one meant."
            )
        found.setdefault(own, []).append(name)
    return dict(sorted(found.items()))


def sample_classes(names: Sequence[str], count: int, what: str, seed: int) -> list[str]:
    """Return `count` of the names in alphabetical order, drawn by the seed."""
    names = sorted(names)
    if len(names) < count:
        raise DamagedFileError(f"{what}: {len(names)} classes to draw {count} from.")
    rows = Streams(seed)[f"protocol/{what}/classes"].at(0).permutation(len(names))[:count]
    return [names[row] for row in sorted(rows)]


def sample_each(
    classes: Mapping[str, Sequence[str]], train: int, test: int, what: str, seed: int
) -> tuple[Labelled, Labelled, list[str]]:
    """Return training and test files with labels, drawn by the seed, and the names of the classes
    that have fewer than train + test. Those give `train` of theirs, and the rest for testing.

    Raises DamagedFileError for a class with no more than `train`.
    """
    parts: tuple[Labelled, Labelled] = ([], [])
    short = []
    for label, (name, files) in enumerate(classes.items()):
        if len(files) <= train:
            raise DamagedFileError(
                f"{what}: class {name!r} has {len(files)} samples: {train} are to train on, and at "
                "least one to test."
            )
        if len(files) < train + test:
            short.append(name)
        order = Streams(seed)[f"protocol/{what}/{name}"].at(0).permutation(len(files))
        parts[0].extend((files[k], label) for k in order[:train])
        parts[1].extend((files[k], label) for k in order[train : train + test])
    return *parts, short


def split(labels: np.ndarray, share: float, what: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on, and to test: a share of each class, of two samples at least one."""
    train, test = [], []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[Streams(seed)[f"protocol/{what}/{label}"].at(0).permutation(len(rows))]
        count = max(1, round(share * len(rows))) if len(rows) > 1 else 0
        test.append(rows[:count])
        train.append(rows[count:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def drawn(labels: np.ndarray, what: str, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Return rows to train on and to test of a copy that lacks its published split, and a remark
    that says so."""
    train, test = split(labels, TEST_SHARE, what, seed)
    words = f"without its published split: {len(train)}/{len(test)} drawn by seed {seed}"
    return train, test, words
