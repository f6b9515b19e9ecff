"""Made-up data for every network of Table 1: deterministic, learnable, of any number of classes."""

import math
import re

import numpy as np
from scipy.ndimage import zoom

from minibp.errors import InputError, unknown
from minibp.rng import Streams
from minibp.study.networks import NETWORKS, input_shape
from minibp.training.data import Data

CLASSES = {"mnist": 10, "cifar": 10, "svhn": 10, "image119": 102, "timit": 80}
COARSE = 7  # cells along a pattern's side
CONTRAST, NOISE = 40, 30  # standard deviations in grey levels
MOST_BYTES = 8 << 30
OPTIONS = ("classes", "train", "test", "seed")


def load(text: str) -> Data:
    """Return data for "NETWORK" or "NETWORK,classes=20,train=1000,test=500,seed=1".

    Each class has a smooth random pattern; a sample is its class's pattern with a random strength,
    and noise. Images are uint8; the TIMIT network's inputs are single-precision numbers.

    >>> data = load("mnist,classes=3,train=6,test=3")
    >>> data.X_train.shape, data.X_train.dtype, data.y_train.tolist()
    ((6, 28, 28, 1), dtype('uint8'), [0, 1, 2, 0, 1, 2])
    """
    network, *pairs = text.split(",")
    if network not in NETWORKS:
        raise unknown("network", network, NETWORKS)
    options = {"classes": CLASSES[network], "seed": 0}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if name not in OPTIONS or not equals or not re.fullmatch("[0-9]{1,9}", value):
            raise InputError(
                f"synthetic:{text}: {pair!r}: expected NAME=NUMBER, {', '.join(OPTIONS)}."
            )
        options[name] = int(value)
    classes = options["classes"]
    train, test = options.get("train", 20 * classes), options.get("test", 5 * classes)
    if classes < 2 or train < classes or test < 1:
        raise InputError(
            f"synthetic:{text}: {classes} classes, {train} training and {test} test samples: "
            "expected 2 classes or more, a training sample of each, and one to test."
        )
    if (train + test + classes) * math.prod(input_shape(network)) > MOST_BYTES:
        raise InputError(f"synthetic:{text}: more than {MOST_BYTES} bytes of made-up samples.")
    streams, shape = Streams(options["seed"]), input_shape(network)
    patterns = _patterns(streams, classes, shape)
    parts = {}
    for part, count in (("train", train), ("test", test)):
        y = np.arange(count) % classes
        X = np.empty((count, *shape), np.uint8 if len(shape) == 3 else np.float32)
        for row, label in enumerate(y):
            rng = streams[f"synthetic/{part}"].at(row)
            value = patterns[label] * (0.75 + 0.5 * rng.uniform((1,))[0])
            value = value + rng.normal(shape, NOISE / CONTRAST)
            X[row] = (128 + CONTRAST * value).clip(0, 255).round() if len(shape) == 3 else value
        parts |= {f"X_{part}": X, f"y_{part}": y.astype(np.int64)}
    return Data(
        name=f"synthetic:{text}",
        **parts,
        classes=classes,
        network=network,
        class_names=tuple(f"pattern {k}" for k in range(classes)),
        note="made-up patterns with noise, not real data",
    )


def _patterns(streams: Streams, classes: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return a smooth pattern of variance 1 for each class."""
    patterns = np.empty((classes, *shape), np.float32)
    for label in range(classes):
        rng = streams["synthetic/patterns"].at(label)
        if len(shape) == 1:
            pattern = rng.normal(shape, 1)
        else:
            coarse = rng.normal((COARSE, COARSE, shape[2]), 1)
            pattern = zoom(coarse, (shape[0] / COARSE, shape[1] / COARSE, 1), order=1)
        patterns[label] = (pattern - pattern.mean()) / pattern.std()
    return patterns
