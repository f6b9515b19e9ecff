"""Caltech-101: 102 classes, the background among them, 30 + 10 images of each."""

from minibp_datasets.about import About, File
from minibp_datasets.images import is_image
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import by_folder, sample_each
from minibp_datasets.reading import Reading, from_images

from minibp.errors import DamagedFileError
from minibp.study.networks import input_shape

TRAIN, TEST = 30, 10
INNER = "caltech-101/101_ObjectCategories.tar.gz"

ABOUT = About(
    name="caltech101",
    title="Caltech-101",
    classes=102,
    train=3060,
    test=949,
    network="image119",
    terms="CC BY 4.0",
    origin="https://data.caltech.edu/records/mzrjq-6wc02",
    protocol="30 + up to 10 images a class by the seed; 15 classes have fewer than 40",
    files=(
        File(
            "caltech-101.zip",
            ("https://data.caltech.edu/records/mzrjq-6wc02/files/",),
            "md5:3138e1922a9193bfa496528edbbc45d0",
            "torchvision",
        ),
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size."""
    tree = originals.tree(ABOUT.files[0])
    names = tree.names()
    if INNER in names:
        tree = tree.inside(INNER)
        names = tree.names()
    classes = by_folder([name for name in names if is_image(name)])
    if len(classes) != ABOUT.classes:
        raise DamagedFileError(f"{tree}: {len(classes)} folders with images, expected 102.")
    train, test, short = sample_each(classes, TRAIN, TEST, "caltech101", seed)
    remarks = (
        [f"{len(short)} classes have fewer than 40 images: {', '.join(short)}"] if short else []
    )
    shape = input_shape(ABOUT.network)
    return from_images(tree, train, test, list(classes), shape, resize, remarks=remarks)
