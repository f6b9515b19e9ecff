"""Images or vectors with labels, checked once and for all."""

import copy
import hashlib
import itertools
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minibp.errors import InputError, counted, listed
from minibp.rng import Streams

PART = 1000  # images at a time
DARKEST = 32  # pixels that none exceeds are no bytes from 0 to 255
FRACTIONS, UNCHANGED = "fractions from 0 to 1", "taken as they are"  # words of notes
ARRAYS = ("X_train", "y_train", "X_test", "y_test")


@dataclass(frozen=True)
class Data:
    """A training and a test set.

    X_train, X_test       (N, H, W, C) or (N, I), both uint8 or both floating point, finite
    y_train, y_test       (N,) integers in 0 … classes−1
    network               the network of Table 1 made for it, or None
    note                  where it comes from; says so if it is a part or a lossy copy
    X_holdout, y_holdout  a part taken out of the training set, or None

    Images (N, H, W, C) are of pixels from 0 to 255. Those given as fractions from 0 to 1 become
    bytes, if they are whole 255ths, or else 255 times as large. Other values are taken as they are.
    So are vectors (N, I), whatever their values. The note says what was done.

    Raises InputError for empty data, NaN, labels out of range, arrays that do not fit together, and
    labels most of which no training sample has. Warns of single classes without a training sample,
    and of pixels that are neither bytes nor fractions.

    >>> X, y = np.linspace(0, 1, 8).reshape(4, 1, 2, 1), np.array([0, 1, 0, 1])
    >>> data = Data("mine", X, y, X, y, classes=2)
    >>> data.note, float(data.X_train.max())
    ('fractions from 0 to 1, times 255', 255.0)
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    classes: int
    network: str | None = None
    class_names: tuple[str, ...] = ()
    note: str = ""
    X_holdout: np.ndarray | None = None
    y_holdout: np.ndarray | None = None

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            X, y = getattr(self, f"X_{part}"), getattr(self, f"y_{part}")
            check_inputs(f"data set {self.name!r}, X_{part}", X)
            check_labels(f"data set {self.name!r}, y_{part}", y, len(X), self.classes)
        self._check_alike()
        self._check_classes()
        if self.X_train.ndim == 4:
            self._check_pixels()
        else:
            self._check_scale()

    def _check_alike(self) -> None:
        train, test = self.X_train, self.X_test
        if train.shape[1:] != test.shape[1:]:
            raise InputError(
                f"data set {self.name!r}: training inputs have shape {train.shape[1:]}, "
                f"test inputs {test.shape[1:]}: they must be the same."
            )
        if train.dtype.kind != test.dtype.kind:
            raise InputError(
                f"data set {self.name!r}: X_train has type {train.dtype}, X_test {test.dtype}: "
                "expected both as bytes (uint8), or both as floating point, on one scale."
            )

    def _check_classes(self) -> None:
        """Raise InputError if most classes have no training sample, and warn of a few."""
        labels, counts = np.unique(self.y_train, return_counts=True)
        missing = self.classes - len(labels)
        if 2 * missing > self.classes:
            raise InputError(
                f"data set {self.name!r}: of {self.classes} classes only {len(labels)} have a "
                f"training sample; the largest label, {labels[-1]}, is that of "
                f"{counted(int(counts[-1]), 'sample')}. Labels are the outputs' numbers, from 0 "
                "without gaps: renumber them, those to train and to test on together, such as by "
                "y = np.unique(y, return_inverse=True)[1], or correct those that have strayed."
            )
        if missing:
            have = set(labels.tolist())
            lacking = (k for k in range(self.classes) if k not in have)
            names = listed(map(self._name_of, itertools.islice(lacking, 10)), of=missing)
            remark = f"no training sample of {counted(missing, 'class')}: {names}"
            self._tell(remark, "Each has an output that is never right; labels run from 0.")

    def _name_of(self, label: int) -> str:
        return (self.class_names[label : label + 1] or ("",))[0] or str(label)

    def _check_pixels(self) -> None:
        """Bring images to pixels from 0 to 255, if it is clear how; else warn."""
        ranges = [_range(self.X_train), _range(self.X_test)]
        low, high = min(a for a, _ in ranges), max(b for _, b in ranges)
        small, large = sorted(max(abs(a), abs(b)) for a, b in ranges)
        if 0 < small <= 1 and large >= DARKEST:
            (a, b), (c, d) = ranges
            raise InputError(
                f"data set {self.name!r}: X_train has values from {a:g} to {b:g}, X_test from "
                f"{c:g} to {d:g}: expected both as bytes from 0 to 255, or both as fractions."
            )
        if low == high == 0 or (low >= 0 and DARKEST <= high <= 255):
            return
        if self.X_train.dtype.kind == "f" and low >= 0 and high <= 1 + 1e-6:
            self._from_fractions()
        else:
            self._tell(
                f"pixels from {low:g} to {high:g}, {UNCHANGED}",
                "Preprocess mean and gcn+zca (auto) are made for 0 to 255: give bytes, or "
                "fractions from 0 to 1, for the paper's learning rates to make sense.",
            )

    def _check_scale(self) -> None:
        """Warn of vectors to train on that are fractions where those to test on are not."""
        train, test = (float(abs(X).max()) for X in (self.X_train, self.X_test))
        if min(train, test) <= 1 and max(train, test) >= DARKEST:
            self._tell(
                f"values up to {train:g} to train on, up to {test:g} to test on",
                "Expected both on one scale.",
            )

    def _from_fractions(self) -> None:
        given = {name: getattr(self, name) for name in ("X_train", "X_test", "X_holdout")}
        given = {name: X for name, X in given.items() if X is not None}
        self.__dict__["sha256"] = self.sha256  # of what was given
        pixels = {name: _as_bytes(X) for name, X in given.items()}
        if all(X is not None for X in pixels.values()):
            self._note(f"{FRACTIONS}, turned into bytes from 0 to 255")
        else:
            pixels = {name: X * X.dtype.type(255) for name, X in given.items()}
            self._note(f"{FRACTIONS}, times 255")
        self.__dict__.update(pixels)

    def _tell(self, remark: str, advice: str) -> None:
        warnings.warn(f"data set {self.name!r}: {remark}. {advice}", stacklevel=5)
        self._note(remark)

    def _note(self, remark: str) -> None:
        if remark not in self.note:
            self.__dict__["note"] = "; ".join(filter(None, (self.note, remark)))

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 over names, types, shapes and bytes of the four arrays, as given."""
        digest = hashlib.sha256()
        for name in ARRAYS:
            array = np.ascontiguousarray(getattr(self, name))
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.data)
        return digest.hexdigest()

    def check_fits(self, network: str, shape: tuple[int, ...]) -> None:
        """Raise InputError unless the inputs are what a network takes."""
        if self.X_train.shape[1:] != shape:
            raise InputError(
                f"data set {self.name!r} has inputs of shape {self.X_train.shape[1:]}, but "
                f"network {network!r} takes {shape}: choose another --network, or bring them to "
                f"this shape (images in folder: are).{channels_first(self.X_train.shape)}"
            )

    def reduced(self, train_limit: int | None, holdout: float | None, seed: int) -> "Data":
        """Return the data with only `train_limit` training samples, drawn by the seed, of which a
        share `holdout` is then held out, the same share of every class."""
        streams, rows = Streams(seed), np.arange(len(self.y_train))
        if train_limit is not None:
            if not 1 <= train_limit <= len(rows):
                raise InputError(
                    f"train limit {train_limit}: expected 1 to {len(rows)}, the size of "
                    f"{self.name!r}'s training set."
                )
            rows = streams["train-limit"].at(0).permutation(len(rows))[:train_limit]
        held = rows[:0]
        if holdout is not None:
            count = round(holdout * len(rows)) if 0 < holdout < 1 else 0
            if not 0 < count < len(rows):
                raise InputError(
                    f"holdout {holdout}: expected a share of the {len(rows)} training samples, "
                    "between 0 and 1, that leaves some on both sides."
                )
            # Evenly spaced in an order that is sorted by class, and random within each.
            rows = rows[streams["holdout"].at(0).permutation(len(rows))]
            rows = rows[np.argsort(self.y_train[rows], kind="stable")]
            places = ((np.arange(count) + 0.5) * len(rows) / count).astype(int)
            held, rows = rows[places], np.delete(rows, places)
        rows = np.sort(rows)
        taken = {"X_train": self.X_train[rows], "y_train": self.y_train[rows]}
        if len(held):
            taken |= {"X_holdout": self.X_train[held], "y_holdout": self.y_train[held]}
        part = copy.copy(self)  # not checked again: a part may lack what the whole set has
        part.__dict__.pop("sha256", None)
        part.__dict__.update({"X_holdout": None, "y_holdout": None} | taken)
        lost = len(np.unique(self.y_train)) - len(np.unique(part.y_train))
        if lost:
            part._note(f"{counted(lost, 'class')} without a sample in the part to train on")
        return part

    def describe(self) -> dict[str, Any]:
        """Return sizes, the shape of one input, the classes in order, and the note, JSON-able."""
        return {
            "train": len(self.y_train),
            "test": len(self.y_test),
            "holdout": 0 if self.y_holdout is None else len(self.y_holdout),
            "shape": list(self.X_train.shape[1:]),
            "classes": self.classes,
            "class_names": list(self.class_names),
            "note": self.note,
        }


def channels_first(shape: tuple[int, ...]) -> str:
    """Return advice for images (N, C, H, W), or nothing.

    >>> channels_first((60, 3, 32, 32)).strip()
    'Its channels come first: expected last, np.moveaxis(X, 1, -1).'
    >>> channels_first((60, 32, 32, 3))
    ''
    """
    if len(shape) != 4 or shape[1] not in (1, 3) or shape[3] in (1, 3):
        return ""
    return " Its channels come first: expected last, np.moveaxis(X, 1, -1)."


def pixels_like(note: str, X: np.ndarray) -> np.ndarray:
    """Return samples as a data set of some note has them: where it was given as fractions from 0 to
    1, these become pixels from 0 to 255.

    Raises InputError for fractions where the data set has none.
    """
    if X.ndim != 4 or X.dtype.kind != "f" or UNCHANGED in note:
        return X
    low, high = float(X.min()), float(X.max())
    if low < 0 or not 0 < high <= 1 + 1e-6:
        return X
    if FRACTIONS not in note:
        raise InputError(
            f"samples have values from {low:g} to {high:g}: expected pixels from 0 to 255, as the "
            "network was trained on."
        )
    pixels = _as_bytes(X)
    return X * X.dtype.type(255) if pixels is None else pixels


def _range(X: np.ndarray) -> tuple[float, float]:
    """Return the least and largest value; of bytes that a few show to be ones, 0 and 255."""
    if X.dtype == np.uint8 and X[:PART].max() >= DARKEST:
        return 0, 255
    return float(X.min()), float(X.max())


def _as_bytes(X: np.ndarray) -> np.ndarray | None:
    """Return fractions (N, …) times 255 as bytes, or None if they are not whole up to rounding."""
    pixels, rounding = np.empty(X.shape, np.uint8), 255 * max(np.finfo(X.dtype).eps, 1e-6)
    for start in range(0, len(X), PART):
        some = X[start : start + PART] * X.dtype.type(255)
        whole = np.rint(some)
        if (abs(some - whole) > rounding).any():
            return None
        pixels[start : start + PART] = whole
    return pixels


def check_inputs(what: str, X: np.ndarray) -> None:
    """Raise InputError unless X is (N, H, W, C) or (N, I), and of finite numbers."""
    if X.ndim not in (2, 4):
        raise InputError(f"{what} has shape {X.shape}: expected (N, H, W, C) or (N, I).")
    if X.size == 0:
        raise InputError(f"{what} is empty: shape {X.shape}.")
    if X.dtype != np.uint8 and X.dtype.kind != "f":
        raise InputError(f"{what} has type {X.dtype}: expected uint8 or floating point.")
    if X.dtype.kind == "f" and not np.isfinite([X.min(), X.max()]).all():
        bad = ~np.isfinite(X.reshape(len(X), -1))
        raise InputError(
            f"{what} has {counted(int(bad.sum()), 'value')} that {'are' if bad.sum() > 1 else 'is'}"
            f" NaN or infinite, the first in sample {bad.any(axis=1).argmax()}: remove or replace "
            "what is not a number."
        )


def check_labels(what: str, y: np.ndarray, samples: int, classes: int) -> None:
    """Raise InputError unless y is (N,), with a label of a class for each sample."""
    if y.shape != (samples,):
        raise InputError(f"{what} has shape {y.shape}: expected ({samples},), one label a sample.")
    if y.dtype.kind not in "iu":
        raise InputError(f"{what} has type {y.dtype}: expected integers.")
    outside = (y < 0) | (y >= classes)
    if outside.any():
        first = outside.argmax()
        raise InputError(
            f"{what}: label {y[first]} of sample {first} is out of range: with {classes} classes, "
            f"and as many outputs, labels run from 0 to {classes - 1}."
        )
