"""MNIST: the original IDX files."""

import gzip
import zlib
from pathlib import Path

from minibp_datasets import idx
from minibp_datasets.about import About, File
from minibp_datasets.originals import Originals
from minibp_datasets.reading import Reading, from_arrays, from_arrays_drawn
from minibp_datasets.tree import read_up_to

from minibp.errors import DamagedFileError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
# name: (MD5 of the published .gz, SHA-256 of what is in it)
FILES = {
    "train-images-idx3-ubyte": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": (
        "d53e105ee54ea40749a09fcbcd1e9432",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": (
        "9fb629c4189551a2d022fa330f9573f3",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": (
        "ec29112dd5afa0611ce80d1b7f02629c",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
LARGEST = 64 << 20

ABOUT = About(
    name="mnist",
    title="MNIST",
    classes=10,
    train=60000,
    test=10000,
    network="mnist",
    terms="CC BY-SA 3.0, as usually cited",
    origin="http://yann.lecun.com/exdb/mnist/",
    protocol="the published split",
    files=tuple(
        File(
            f"{name}.gz",
            MIRRORS,
            f"md5:{md5}",
            "torchvision",
            f"sha256:{sha256}",
            (name, name.replace("-idx", ".idx")),
        )
        for name, (md5, sha256) in FILES.items()
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return 60,000 training and 10,000 test images (N, 28, 28, 1). Of an unverified copy without
    the test files, a split is drawn by the seed."""
    arrays = []
    train, test = ABOUT.files[:2], ABOUT.files[2:]
    for path in (*map(originals.file, train), *map(originals.if_there, test)):
        try:
            arrays.append(None if path is None else idx.parse(_content(path)))
        except (OSError, EOFError, zlib.error, DamagedFileError) as error:
            raise DamagedFileError(f"{path} cannot be read: {error}") from error
    X_train, y_train, X_test, y_test = arrays
    images, labels = ([a for a in pair if a is not None] for pair in (arrays[::2], arrays[1::2]))
    shapes = [X.shape[1:] for X in images] + [y.shape[1:] for y in labels]
    if shapes != [(28, 28)] * len(images) + [()] * len(labels):
        raise DamagedFileError(f"MNIST's files have samples of shapes {shapes}.")
    digits = tuple("0123456789")
    if X_test is None or y_test is None:
        return from_arrays_drawn(X_train[..., None], y_train, digits, originals.name, seed)
    return from_arrays(X_train[..., None], y_train, X_test[..., None], y_test, digits)


def _content(path: Path) -> bytes:
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        return read_up_to(file, LARGEST)
