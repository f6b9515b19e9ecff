"""scikit-learn's 1,797 real handwritten digits: embedded, no network needed."""

import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from minibp.training.data import Data

TEST_SIZE = 360
NOTE = (
    "scikit-learn's copy of the UCI optical digits test set (CC BY 4.0), "
    "8x8 enlarged to 28x28; not MNIST"
)


def load() -> Data:
    """Return 1,437 training and 360 test images (N, 28, 28, 1), uint8; the split is stratified."""
    source = load_digits()
    images = enlarge(source.images)
    train, test = split(source.target)
    labels = source.target.astype(np.int64)
    return Data(
        name="digits",
        X_train=images[train],
        y_train=labels[train],
        X_test=images[test],
        y_test=labels[test],
        classes=10,
        network="mnist",
        class_names=tuple("0123456789"),
        note=NOTE,
    )


def enlarge(images: np.ndarray) -> np.ndarray:
    """Return (N, 28, 28, 1) in 0–255 from (N, 8, 8) in 0–16, bilinear."""
    # grid_mode: pixels are areas, so the whole 8x8 image is spread over the whole 28x28 one.
    large = zoom(images * (255 / 16), (1, 3.5, 3.5), order=1, mode="nearest", grid_mode=True)
    return large.round().astype(np.uint8)[..., None]


def split(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the training and of the test images."""
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SIZE, stratify=labels, random_state=0
    )
    return train, test
