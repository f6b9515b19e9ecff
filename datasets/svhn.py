"""SVHN: the cropped digits, from MATLAB files."""

import numpy as np
from minibp_datasets import matfile
from minibp_datasets.about import About, File
from minibp_datasets.originals import Originals
from minibp_datasets.reading import Reading, from_arrays, from_arrays_drawn

from minibp.errors import DamagedFileError

MIRRORS = ("http://ufldl.stanford.edu/housenumbers/",)
LARGEST = 400 << 20

ABOUT = About(
    name="svhn",
    title="SVHN (cropped digits)",
    classes=10,
    train=73257,
    test=26032,
    network="svhn",
    terms="for non-commercial use only",
    origin="http://ufldl.stanford.edu/housenumbers/",
    protocol="the published split, without the extra set",
    files=(
        File("train_32x32.mat", MIRRORS, "md5:e26dedcc434d2e4c54c9b2d4a06d8373", "torchvision"),
        File("test_32x32.mat", MIRRORS, "md5:eb5a983be6a315427106f1b164d9cef3", "torchvision"),
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images (N, 32, 32, 3); the file's label 10 is the digit 0. Of an unverified copy
    without the test file, a split is drawn by the seed."""
    arrays, (train, test) = [], ABOUT.files
    for path in filter(None, (originals.file(train), originals.if_there(test))):
        found = matfile.read(path, ("X", "y"), LARGEST)
        X, y = found["X"], found["y"].ravel()
        if X.dtype != np.uint8 or X.ndim != 4 or X.shape != (32, 32, 3, len(y)):
            raise DamagedFileError(
                f"{path}: X {X.shape} of {X.dtype} and {len(y)} labels; expected (32, 32, 3, N) of "
                "uint8 and N labels."
            )
        if len(y) == 0 or not np.isin(y, np.arange(1, 11)).all():
            raise DamagedFileError(f"{path}: expected labels from 1 to 10.")
        arrays += [X.transpose(3, 0, 1, 2), y.astype(np.int64) % 10]
    digits = tuple("0123456789")
    if len(arrays) == 2:
        return from_arrays_drawn(*arrays, digits, originals.name, seed)
    return from_arrays(*arrays, digits)
