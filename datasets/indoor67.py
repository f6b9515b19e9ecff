"""MIT Indoor-67: the published lists of 80 + 20 images a class."""

import numpy as np
from minibp_datasets.about import About, File
from minibp_datasets.images import is_image
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import drawn
from minibp_datasets.reading import Reading, from_images

from minibp.errors import DamagedFileError
from minibp.study.networks import input_shape

LISTS = ("http://web.mit.edu/torralba/www/",)

ABOUT = About(
    name="indoor67",
    title="MIT Indoor-67",
    classes=67,
    train=5360,
    test=1340,
    network="image119",
    terms="for research; cite Quattoni and Torralba 2009",
    origin="http://web.mit.edu/torralba/www/indoor.html",
    protocol="the published lists: about 80 + 20 images a class",
    files=(
        File("indoorCVPR_09.tar", ("http://groups.csail.mit.edu/vision/LabelMe/NewImages/",)),
        File("TrainImages.txt", LISTS),
        File("TestImages.txt", LISTS),
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size. Of an unverified copy without one of the lists, a
    split is drawn by the seed."""
    archive, *lists = ABOUT.files
    paths = [originals.if_there(file) for file in lists]
    tree = originals.tree(archive)
    places: dict[str, str] = {}
    for name in filter(is_image, tree.names()):
        short = "/".join(name.split("/")[-2:])
        if places.setdefault(short, name) != name:
            raise DamagedFileError(f"{tree} has {short} twice: {places[short]} and {name}.")
    remarks = []
    if None in paths:
        names = sorted(name for name in places if "/" in name)
        *rows, remark = drawn(np.array([_class(name) for name in names]), originals.name, seed)
        listed = [[names[row] for row in part] for part in rows]
        remarks.append(remark)
    else:
        listed = [parse_list(path.read_bytes(), str(path)) for path in paths]
    classes = sorted({_class(name) for name in listed[0]})
    if len(classes) != ABOUT.classes and not remarks:
        raise DamagedFileError(f"{lists[0].name} has {len(classes)} classes, expected 67.")
    parts = []
    for names in listed:
        missing = [name for name in names if name not in places or _class(name) not in classes]
        if missing:
            raise DamagedFileError(f"{tree} lacks {len(missing)} listed images, as {missing[0]!r}.")
        parts.append([(places[name], classes.index(_class(name))) for name in names])
    shape = input_shape(ABOUT.network)
    return from_images(tree, *parts, classes, shape, resize, remarks=remarks)


def _class(name: str) -> str:
    return name.partition("/")[0]


def parse_list(content: bytes, what: str) -> list[str]:
    """Return the lines of a list, each "class/image.jpg"."""
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    names = [line for line in lines if line]
    wrong = [name for name in names if name.count("/") != 1 or ".." in name]
    if wrong or not names:
        raise DamagedFileError(
            f"{what}: {wrong[0][:60]!r} is no class/image.jpg." if wrong else f"{what} is empty."
        )
    return names
