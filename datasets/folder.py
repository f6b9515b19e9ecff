"""A user's own images: a folder of class folders, or of train/CLASS and test/CLASS."""

from pathlib import Path

import numpy as np
from minibp_datasets.about import About
from minibp_datasets.images import decode, is_image
from minibp_datasets.protocols import Labelled, split
from minibp_datasets.reading import Reading, from_images
from minibp_datasets.tree import Tree

from minibp.data import channels_first
from minibp.errors import DamagedFileError, InputError
from minibp.models import NETWORKS, input_shape

PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
UNUSED = ("val", "valid", "validation")  # beside train and test; without test they are it
TEST_SHARE = 0.2  # where there are no train and test folders


def read(tree: Tree, network: str, seed: int, resize: str) -> Reading:
    """Return the images of a tree at a network's input size."""
    train, test, classes, remarks = parts_of(tree, tree.names(), f"folder {tree}", seed)
    shape = input_shape(network)
    if len(shape) != 3:
        raise InputError(f"network {network!r} takes no images: choose another --network.")
    return from_images(tree, train, test, classes, shape, resize, lenient=False, remarks=remarks)


def parts_of(
    tree: Tree, names: list[str], what: str = "folder", seed: int = 0
) -> tuple[Labelled, Labelled, list[str], list[str]]:
    """Return training and test images with labels, the classes in alphabetical order, and remarks.

    Folders that all images are in do not count. The class is then the folder below train or test;
    without these, the first folder, and a fifth of each class is drawn by the seed for testing. A
    validation part is left out, or is the test part where there is no other.

    Raises DamagedFileError where there are no images in class folders, fewer than two classes, or
    classes to test that are not trained on.
    """
    images = sorted(filter(is_image, names))
    paths = _without_common([tuple(name.split("/")) for name in images])
    first = {path[0].lower() for path in paths if len(path) > 1}
    has_test = any(PARTS.get(name) == "test" for name in first)
    parts = PARTS if has_test else PARTS | dict.fromkeys(UNUSED, "test")
    parted = {"train", "test"} <= {parts.get(name) for name in first}
    found: dict[str, list[tuple[str, str]]] = {"train": [], "test": [], "all": []}
    unused = 0
    for name, path in zip(images, paths, strict=True):
        place = path[0].lower()
        if parted and has_test and place in UNUSED:
            unused += 1
            continue
        part, below = (parts.get(place), path[1:]) if parted else ("all", path)
        if part is None or len(below) < 2:
            raise DamagedFileError(
                f"{tree}: {name!r} is in no class folder"
                + (" of train or test." if parted else ".")
            )
        found[part].append((name, below[0]))
    classes = sorted({label for _, label in found["train"] or found["all"]})
    strange = sorted({label for _, label in found["test"]} - set(classes))
    if strange:
        raise DamagedFileError(f"{tree}: test has class {strange[0]!r}, which train has not.")
    if len(classes) < 2:
        raise DamagedFileError(
            f"{tree}: {len(classes)} classes. Expected a folder of images for each class, or train "
            "and test folders with these."
        )
    train, test, rest = (
        [(name, classes.index(label)) for name, label in found[part]] for part in found
    )
    if parted:
        return train, test, classes, [f"{unused} images to validate left out"] if unused else []
    rows = split(np.array([label for _, label in rest]), TEST_SHARE, "own", seed)  # wherever it is
    train, test = ([rest[row] for row in part] for part in rows)
    return train, test, classes, [f"split {len(train)}/{len(test)} by seed {seed}"]


def _without_common(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return paths without the folders that all of them are in, but for a class's and train's."""
    while paths and all(len(path) > 2 for path in paths) and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]
    return paths


def network_for(tree: Tree) -> str:
    """Return the network whose inputs are as large as the first image, or that for all others."""
    images = sorted(filter(is_image, tree.names()))
    if not images:
        raise DamagedFileError(f"{tree} has no images.")
    name, content = next(tree.read(images[:1]))
    image = decode(content, name)
    return fitting((image.height, image.width, len(image.getbands()))) or "image119"


def fitting(shape: tuple[int, ...]) -> str | None:
    """Return the network that takes inputs of a shape, or None; of CIFAR's and SVHN's, which take
    the same, CIFAR's.

    >>> fitting((28, 28, 1)), fitting((32, 32, 3)), fitting((1845,)), fitting((5, 5, 3))
    ('mnist', 'cifar', 'timit', None)
    """
    return next((name for name, (_, own) in NETWORKS.items() if own == shape), None)


def why_none_fits(shape: tuple[int, ...]) -> str:
    """Return what to say of inputs of a shape that no network takes.

    >>> print(why_none_fits((3, 32, 32)))
    no network of Table 1 takes inputs of shape (3, 32, 32): they take (28, 28, 1) (mnist), \
(32, 32, 3) (cifar), (32, 32, 3) (svhn), (119, 119, 3) (image119), (1845,) (timit). Bring them to \
one of these; images in folder: are resized. Its channels come first: expected last, \
np.moveaxis(X, 1, -1).
    """
    shapes = ", ".join(f"{own} ({name})" for name, (_, own) in NETWORKS.items())
    return (
        f"no network of Table 1 takes inputs of shape {shape}: they take {shapes}. Bring them to one "
        f"of these; images in folder: are resized.{channels_first((1, *shape))}"
    )


def about(path: Path, network: str = "") -> About:
    """Return the description of a user's folder."""
    name = f"folder:{path}"
    text = "train and test folders, or a fifth of each class drawn by the seed for testing"
    return About(name, name, 0, 0, 0, network, "", "", text, by_hand="give your own folder.")
