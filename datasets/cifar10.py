"""CIFAR-10: the binary version; copies also as image folders, or as single batches."""

import gzip
import io
import lzma
import zlib

import numpy as np
from minibp_datasets.about import About, File
from minibp_datasets.folder import parts_of
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import split
from minibp_datasets.reading import Reading, from_arrays, from_images
from minibp_datasets.tree import Tree, read_up_to

from minibp.errors import DamagedFileError

SHAPE = (32, 32, 3)
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
LARGEST = 64 << 20
TEST_SHARE = 0.2  # of a copy without test batch

ABOUT = About(
    name="cifar10",
    title="CIFAR-10",
    classes=10,
    train=50000,
    test=10000,
    network="cifar",
    terms="no explicit licence; cite Krizhevsky 2009",
    origin="https://www.cs.toronto.edu/~kriz/cifar.html",
    protocol="the published split",
    files=(
        File(
            "cifar-10-binary.tar.gz",
            ("https://www.cs.toronto.edu/~kriz/",),
            "md5:c32a1d4ab5d03f1284b67883e8d87530",
            "its publisher",
        ),
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images (N, 32, 32, 3). Of an unverified copy: batches without a test batch are split
    4 to 1 by the seed; class folders, or train/CLASS and test/CLASS, hold image files."""
    tree = originals.tree(ABOUT.files[0])
    names = tree.names()
    batches = [name for name in names if is_batch(name)]
    if not batches and originals.unverified:
        parts = parts_of(tree, names, seed)
        if parts.classes != CLASSES:
            raise DamagedFileError(f"{tree}: expected class folders {', '.join(CLASSES)}.")
        lossy = any(
            name.lower().endswith((".jpg", ".jpeg")) for name, _ in parts.train + parts.test
        )
        kind = "from image files" + (", lossy (JPEG)" if lossy else "")
        return from_images(
            *(tree, parts.train, parts.test, CLASSES, SHAPE, resize),
            remarks=(kind, *parts.remarks),
            told=parts.told,
        )
    return from_batches(tree, batches, "test_batch", 1, CLASSES, originals, seed)


def is_batch(name: str) -> bool:
    """Return whether a file name is a binary batch's, packed or not."""
    return name.removesuffix(".xz").removesuffix(".gz").endswith(".bin")


def from_batches(
    tree: Tree, names: list[str], test_name: str, label_bytes: int, classes, originals, seed: int
) -> Reading:
    """Return the reading of CIFAR's binary batches; the last label byte counts."""
    found: dict[str, list] = {"train": [], "test": []}
    stems = [name.rpartition("/")[2].partition(".")[0] for name in names]
    if len(set(stems)) < len(stems):
        raise DamagedFileError(f"{tree} has a batch twice: {', '.join(sorted(names))}.")
    for name, content in sorted(tree.read(names, LARGEST)):
        part = "test" if name.rpartition("/")[2].startswith(test_name) else "train"
        try:
            found[part].append(parse(unpack(name, content), label_bytes, len(classes)))
        except DamagedFileError as error:
            raise DamagedFileError(f"{tree}, {name}: {error}") from error
    if not found["train"]:
        raise DamagedFileError(f"{tree} has no binary batch (.bin).")
    X, y = (np.concatenate(arrays) for arrays in zip(*found["train"], strict=True))
    if not found["test"]:
        if not originals.unverified:
            raise DamagedFileError(f"{tree} lacks {test_name}.bin.")
        train, test = split(y, TEST_SHARE, originals.name, seed)
        remark = (
            f"{len(y)} records without a test batch, split {len(train)}/{len(test)}, seed {seed}"
        )
        return from_arrays(X[train], y[train], X[test], y[test], classes, (remark,))
    X_test, y_test = (np.concatenate(arrays) for arrays in zip(*found["test"], strict=True))
    return from_arrays(X, y, X_test, y_test, classes)


def parse(content: bytes, label_bytes: int = 1, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 32, 32, 3), uint8, and labels of a binary batch: records of labels, then
    1,024 red, 1,024 green and 1,024 blue values."""
    size = label_bytes + 3072
    if not content or len(content) % size:
        raise DamagedFileError(f"{len(content)} bytes are no records of {size}.")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    labels = records[:, label_bytes - 1]
    if labels.max() >= classes:
        row = int((labels >= classes).argmax())
        raise DamagedFileError(f"label {labels[row]} in record {row}: expected 0 to {classes - 1}.")
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, labels.astype(np.int64)


def unpack(name: str, content: bytes) -> bytes:
    """Return the content of a .gz or .xz member, or any other as it is."""
    opener = {"xz": lzma.open, "gz": gzip.open}.get(name.rpartition(".")[2])
    if opener is None:
        return content
    try:
        with opener(io.BytesIO(content)) as file:
            unpacked = read_up_to(file, LARGEST + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DamagedFileError(f"it cannot be unpacked ({error}).") from error
    if len(unpacked) > LARGEST:
        raise DamagedFileError(f"unpacked it is larger than {LARGEST} bytes.")
    return unpacked
