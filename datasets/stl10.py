"""STL-10: the labelled part, from its binary files, enlarged to the network's input."""

from collections.abc import Iterator

import numpy as np
from minibp_datasets.about import About, File
from minibp_datasets.images import fit
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import drawn
from minibp_datasets.reading import Block, Reading
from PIL import Image

from minibp.errors import DamagedFileError
from minibp.study.networks import input_shape

NAMES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")
CLASSES = "airplane bird car cat deer dog horse monkey ship truck".split()
SIDE = 96
LARGEST = 400 << 20

ABOUT = About(
    name="stl10",
    title="STL-10 (labelled part)",
    classes=10,
    train=5000,
    test=8000,
    network="image119",
    terms="images from ImageNet; cite Coates, Ng and Lee 2011",
    origin="https://cs.stanford.edu/~acoates/stl10/",
    protocol="the published split, all ten folds to train on",
    files=(
        File(
            "stl10_binary.tar.gz",
            ("http://ai.stanford.edu/~acoates/stl10/",),
            "md5:91f7769df0f17e558f3565bffb0c7dfb",
            "torchvision",
        ),
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size. Of an unverified copy without the test files, a
    split is drawn by the seed."""
    tree = originals.tree(ABOUT.files[0])
    prefix = "" if tree.path.is_dir() and (tree.path / NAMES[0]).exists() else "stl10_binary/"
    wanted = [prefix + name for name in NAMES]
    if originals.unverified and not set(wanted[2:]) & set(tree.names()):
        wanted = wanted[:2]
    found = {}
    for name, content in tree.read(wanted, LARGEST):
        short = name.removeprefix(prefix)
        try:
            found[short] = parse_images(content) if "X" in short else parse_labels(content)
        except DamagedFileError as error:
            raise DamagedFileError(f"{tree}, {name}: {error}") from error
    images = {name[:-6]: found[name] for name in found if "X" in name}
    labels = {name[:-6]: found[name] for name in found if "y" in name}
    for part in images:
        if len(images[part]) != len(labels[part]):
            raise DamagedFileError(f"{tree}: {part}_X.bin and {part}_y.bin differ in length.")
    remarks = ()
    if "test" not in images:
        *rows, remark = drawn(labels["train"], originals.name, seed)
        images, labels = (
            dict(zip(("train", "test"), (whole["train"][part] for part in rows), strict=True))
            for whole in (images, labels)
        )
        remarks = (remark,)
    shape = input_shape(ABOUT.network)

    def blocks() -> Iterator[Block]:
        for part in ("train", "test"):
            for row, image in enumerate(images[part]):
                yield part, row, fit(Image.fromarray(image), shape, resize)

    return Reading(labels["train"], labels["test"], shape, tuple(CLASSES), blocks, remarks)


def parse_images(content: bytes) -> np.ndarray:
    """Return (N, 96, 96, 3), uint8: in the file channels first, each column by column."""
    if not content or len(content) % (3 * SIDE * SIDE):
        raise DamagedFileError(f"{len(content)} bytes are no images of 3x96x96.")
    images = np.frombuffer(content, np.uint8).reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(images.transpose(0, 3, 2, 1))


def parse_labels(content: bytes) -> np.ndarray:
    """Return labels from 0: in the file they are bytes from 1 to 10."""
    labels = np.frombuffer(content, np.uint8).astype(np.int64) - 1
    if labels.size == 0 or labels.min() < 0 or labels.max() > 9:
        raise DamagedFileError("expected labels from 1 to 10.")
    return labels
