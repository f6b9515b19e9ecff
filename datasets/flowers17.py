"""Flowers-17: the first of its three published splits."""

from minibp_datasets import matfile
from minibp_datasets.about import About, File
from minibp_datasets.originals import Originals
from minibp_datasets.reading import Reading, from_images
from minibp_datasets.splits import drawn_numbers, numbered, rows

from minibp.study.networks import input_shape

MIRRORS = ("https://www.robots.ox.ac.uk/~vgg/data/flowers/17/",)
EACH = 80  # images of a class, numbered through
CLASSES = (
    "daffodil snowdrop lily-of-the-valley bluebell crocus iris tigerlily tulip fritillary "
    "sunflower daisy colts-foot dandelion cowslip buttercup windflower pansy"
).split()

ABOUT = About(
    name="flowers17",
    title="Flowers-17",
    classes=17,
    train=680,
    test=340,
    network="image119",
    terms="for research; cite Nilsback and Zisserman 2006",
    origin="https://www.robots.ox.ac.uk/~vgg/data/flowers/17/",
    protocol="the first of three published splits: trn1 to train on, tst1 to test; val1 unused",
    files=(File("17flowers.tgz", MIRRORS), File("datasplits.mat", MIRRORS)),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size. Of an unverified copy without the lists, a split
    is drawn by the seed."""
    archive, splits = ABOUT.files
    path, remarks = originals.if_there(splits), []
    tree = originals.tree(archive)
    images = numbered(tree)
    if path:
        ids = matfile.read(path, ("trn1", "tst1"), 1 << 20)
        parts = [rows(ids[name], images, path) for name in ("trn1", "tst1")]
    else:
        *parts, remark = drawn_numbers(images, lambda k: (k - 1) // EACH, originals.name, seed)
        remarks.append(remark)
    train, test = ([(images[k], (k - 1) // EACH) for k in part] for part in parts)
    shape = input_shape(ABOUT.network)
    return from_images(tree, train, test, CLASSES, shape, resize, remarks=remarks)
