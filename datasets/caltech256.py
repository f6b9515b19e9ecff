"""Caltech-256-101: 102 classes drawn of Caltech-256's, 30 + 10 images of each."""

from minibp_datasets.about import About, File
from minibp_datasets.images import is_image
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import by_folder, sample_classes, sample_each
from minibp_datasets.reading import Reading, from_images

from minibp.study.networks import input_shape

TRAIN, TEST = 30, 10

ABOUT = About(
    name="caltech256-101",
    title="Caltech-256-101",
    classes=102,
    train=3060,
    test=1020,
    network="image119",
    terms="CC BY 4.0",
    origin="https://data.caltech.edu/records/nyy15-4j048",
    protocol="102 of the 256 classes (not 257.clutter), 30 + 10 images a class, by the seed",
    files=(
        File(
            "256_ObjectCategories.tar",
            ("https://data.caltech.edu/records/nyy15-4j048/files/",),
            "md5:67b4f42ca05d46448c6bb8ecd2220f6d",
            "torchvision",
        ),
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size."""
    tree = originals.tree(ABOUT.files[0])
    found = by_folder([name for name in tree.names() if is_image(name)])
    found.pop("257.clutter", None)
    chosen = sample_classes(list(found), ABOUT.classes, ABOUT.name, seed)
    classes = {name: found[name] for name in chosen}
    train, test, _ = sample_each(classes, TRAIN, TEST, ABOUT.name, seed)
    titles = [name.partition(".")[2] or name for name in chosen]
    return from_images(tree, train, test, titles, input_shape(ABOUT.network), resize)
