"""The published splits of the two flower sets: lists of image numbers in MATLAB files."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from minibp_datasets.protocols import drawn
from minibp_datasets.tree import Tree

from minibp.errors import DamagedFileError


def numbered(tree: Tree) -> dict[int, str]:
    """Return the names of a tree's image_NNNN.jpg by number."""
    found = {}
    for name in tree.names():
        match = re.fullmatch(r"image_(\d+)\.jpg", name.rpartition("/")[2])
        if match:
            found[int(match[1])] = name
    return found


def rows(ids: np.ndarray, images: dict[int, str], path: Path) -> list[int]:
    """Return a list of image numbers, each of which must be there, and once."""
    numbers = [int(k) for k in np.asarray(ids).ravel()]
    missing = [k for k in numbers if k not in images]
    if missing or not numbers or len(set(numbers)) < len(numbers):
        what = f"image {missing[0]}, which is not there" if missing else "none, or one twice"
        raise DamagedFileError(f"{path} lists {what}.")
    return numbers


def drawn_numbers(
    images: Iterable[int], label: Callable[[int], int], what: str, seed: int
) -> tuple[list[int], list[int], str]:
    """Return image numbers to train on and to test, drawn by the seed, and a remark."""
    numbers = sorted(images)
    train, test, remark = drawn(np.array([label(k) for k in numbers]), what, seed)
    return [numbers[row] for row in train], [numbers[row] for row in test], remark
