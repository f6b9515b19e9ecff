"""What a data set's reader returns: labels at once, samples one block after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from minibp_datasets.images import fit_all
from minibp_datasets.protocols import Labelled, drawn
from minibp_datasets.tree import Tree

from minibp.errors import DamagedFileError, counted

Block = tuple[str, int | slice, np.ndarray]  # "train" or "test", which rows, the samples


@dataclass
class Reading:
    """A data set on its way from the original files to the cache.

    shape    of a sample
    blocks   gives every row of both parts once, in any order
    remarks  what a reader of results should know, such as classes with fewer samples
    told     what the user is warned of, too
    """

    y_train: np.ndarray
    y_test: np.ndarray
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    blocks: Callable[[], Iterator[Block]]
    remarks: tuple[str, ...] = ()
    dtype: str = "uint8"
    told: tuple[str, ...] = ()


def from_arrays(X_train, y_train, X_test, y_test, class_names, remarks=()) -> Reading:
    """Return the reading of arrays that are in memory: X (N, …), y (N,)."""

    def blocks() -> Iterator[Block]:
        yield "train", slice(None), X_train
        yield "test", slice(None), X_test

    labels = (np.asarray(y, np.int64) for y in (y_train, y_test))
    shape, dtype = X_train.shape[1:], str(X_train.dtype)
    return Reading(*labels, shape, tuple(class_names), blocks, tuple(remarks), dtype)


def from_arrays_drawn(X, y, class_names, what: str, seed: int) -> Reading:
    """Return the reading of a copy's arrays that lack their test part: it is drawn by the seed."""
    train, test, remark = drawn(y, what, seed)
    return from_arrays(X[train], y[train], X[test], y[test], class_names, (remark,))


def from_images(
    tree: Tree,
    train: Labelled,
    test: Labelled,
    class_names,
    shape: tuple[int, int, int],
    resize: str,
    *,
    own: bool = False,
    remarks=(),
    told=(),
) -> Reading:
    """Return the reading of image files, which are decoded and resized as they are asked for.

    train, test  file names in the tree with their labels
    own          they are a user's (see decode)
    """
    if not train or not test:
        raise DamagedFileError(
            f"{tree}: {counted(len(train), 'image')} to train on, {len(test)} to test: expected 2 "
            "or more in a class, or folders train and test."
        )
    rows = {name: ("train", row) for row, (name, _) in enumerate(train)}
    rows |= {name: ("test", row) for row, (name, _) in enumerate(test)}
    if len(rows) < len(train) + len(test):
        raise DamagedFileError(
            f"{tree}: an image is in the training and in the test set, or twice."
        )

    def blocks() -> Iterator[Block]:
        for name, image in fit_all(tree.read(rows), shape, resize, own):
            yield *rows[name], image

    labels = (np.array([label for _, label in part], np.int64) for part in (train, test))
    return Reading(*labels, shape, tuple(class_names), blocks, tuple(remarks), told=tuple(told))
