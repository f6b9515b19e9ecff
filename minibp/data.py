"""Images or vectors with labels, checked once and for all."""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minibp.errors import InputError
from minibp.rng import Streams


@dataclass(frozen=True)
class Data:
    """A training and a test set.

    X_train, X_test       (N, H, W, C) or (N, I), uint8 or floating point, finite
    y_train, y_test       (N,) integers in 0 … classes−1
    network               the network of Table 1 made for it, or None
    note                  where it comes from; says so if it is a part or a lossy copy
    X_holdout, y_holdout  a part taken out of the training set, or None

    Raises InputError for empty data, NaN, labels out of range, and arrays that do not fit together.
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
            _check_images(f"data set {self.name!r}, X_{part}", X)
            _check_labels(f"data set {self.name!r}, y_{part}", y, len(X), self.classes)
        if self.X_train.shape[1:] != self.X_test.shape[1:]:
            raise InputError(
                f"data set {self.name!r}: training inputs have shape {self.X_train.shape[1:]}, "
                f"test inputs {self.X_test.shape[1:]}: they must be the same."
            )

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 over names, types, shapes and bytes of the four arrays."""
        digest = hashlib.sha256()
        for name in ("X_train", "y_train", "X_test", "y_test"):
            array = np.ascontiguousarray(getattr(self, name))
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.data)
        return digest.hexdigest()

    def check_fits(self, network: str, shape: tuple[int, ...]) -> None:
        """Raise InputError unless the inputs are what a network takes."""
        if self.X_train.shape[1:] != shape:
            raise InputError(
                f"data set {self.name!r} has inputs of shape {self.X_train.shape[1:]}, but "
                f"network {network!r} takes {shape}: choose another --network."
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
        return dataclasses.replace(
            self,
            X_train=self.X_train[rows],
            y_train=self.y_train[rows],
            X_holdout=self.X_train[held] if len(held) else None,
            y_holdout=self.y_train[held] if len(held) else None,
        )

    def describe(self) -> dict[str, Any]:
        """Return the sizes and the note, JSON-able."""
        return {
            "train": len(self.y_train),
            "test": len(self.y_test),
            "holdout": 0 if self.y_holdout is None else len(self.y_holdout),
            "classes": self.classes,
            "note": self.note,
        }


def _check_images(what: str, X: np.ndarray) -> None:
    if X.ndim not in (2, 4):
        raise InputError(f"{what} has shape {X.shape}: expected (N, H, W, C) or (N, I).")
    if X.size == 0:
        raise InputError(f"{what} is empty: shape {X.shape}.")
    if X.dtype != np.uint8 and X.dtype.kind != "f":
        raise InputError(f"{what} has type {X.dtype}: expected uint8 or floating point.")
    if X.dtype.kind == "f" and not np.isfinite(X).all():
        bad = ~np.isfinite(X.reshape(len(X), -1))
        raise InputError(
            f"{what} has {bad.sum()} values that are NaN or infinite, the first in sample "
            f"{bad.any(axis=1).argmax()}: remove or replace them."
        )


def _check_labels(what: str, y: np.ndarray, samples: int, classes: int) -> None:
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
