"""Flowers-102: the published split."""

import numpy as np
from minibp_datasets import matfile
from minibp_datasets.about import About, File
from minibp_datasets.originals import Originals
from minibp_datasets.reading import Reading, from_images
from minibp_datasets.splits import drawn_numbers, numbered, rows

from minibp.errors import DamagedFileError
from minibp.study.networks import input_shape

MIRRORS = ("https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",)

ABOUT = About(
    name="flowers102",
    title="Flowers-102",
    classes=102,
    train=1020,
    test=6149,
    network="image119",
    terms="for research; cite Nilsback and Zisserman 2008",
    origin="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    protocol="the published split: trnid to train on, tstid to test; valid unused",
    files=(
        File("102flowers.tgz", MIRRORS, "md5:52808999861908f626f3c1f4e79d11fa", "torchvision"),
        File("imagelabels.mat", MIRRORS, "md5:e0620be6f572b9609742df49c70aed4d", "torchvision"),
        File("setid.mat", MIRRORS, "md5:a5357ecc9cb78c4bef273ce3793fc85c", "torchvision"),
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size. Of an unverified copy without the list of the
    parts, a split is drawn by the seed."""
    archive, labels_file, ids_file = ABOUT.files
    labels_path, ids_path = originals.file(labels_file), originals.if_there(ids_file)
    labels = matfile.read(labels_path, ("labels",), 1 << 20)["labels"].ravel().astype(np.int64)
    if labels.size == 0 or labels.min() < 1 or labels.max() > ABOUT.classes:
        raise DamagedFileError(f"{labels_path}: expected labels from 1 to 102.")
    tree = originals.tree(archive)
    images = numbered(tree)
    if len(images) != len(labels):
        raise DamagedFileError(f"{tree}: {len(images)} images, but {len(labels)} labels.")
    remarks = []
    if ids_path:
        ids = matfile.read(ids_path, ("trnid", "tstid"), 1 << 20)
        parts = [rows(ids[name], images, ids_path) for name in ("trnid", "tstid")]
    else:
        *parts, remark = drawn_numbers(images, lambda k: labels[k - 1], originals.name, seed)
        remarks.append(remark)
    train, test = ([(images[k], int(labels[k - 1]) - 1) for k in part] for part in parts)
    names = [f"flower {k}" for k in range(1, ABOUT.classes + 1)]  # its files have no names
    shape = input_shape(ABOUT.network)
    return from_images(tree, train, test, names, shape, resize, remarks=remarks)
