"""A user's own images: a folder of class folders, or of train/CLASS and test/CLASS."""

from pathlib import Path

import numpy as np
from minibp_datasets.about import About
from minibp_datasets.images import decode, is_image
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import Labelled, split
from minibp_datasets.reading import Reading, from_images
from minibp_datasets.tree import Tree

from minibp.errors import DamagedFileError, InputError
from minibp.models import NETWORKS, input_shape

PARTS = {"train": "train", "training": "train", "test": "test", "val": "test", "valid": "test"}
TEST_SHARE = 0.2  # where there are no train and test folders


def read(path: Path, network: str, seed: int, resize: str) -> Reading:
    """Return the images of a folder or an archive at a network's input size."""
    tree = Tree(path)
    train, test, classes, remarks = parts_of(tree, tree.names(), str(path), seed)
    shape = input_shape(network)
    if len(shape) != 3:
        raise InputError(f"network {network!r} takes no images: choose another --network.")
    return from_images(tree, train, test, classes, shape, resize, lenient=False, remarks=remarks)


def parts_of(
    tree: Tree, names: list[str], what: str = "folder", seed: int = 0
) -> tuple[Labelled, Labelled, list[str], list[str]]:
    """Return training and test images with labels, the classes in alphabetical order, and remarks.

    The class is the first folder below train or test; without these, the first folder, and a fifth
    of each class is drawn by the seed for testing.

    Raises DamagedFileError where there are no images in class folders, fewer than two classes, or
    classes to test that are not trained on.
    """
    found: dict[str, list[tuple[str, str]]] = {"train": [], "test": [], "": []}
    for name in sorted(filter(is_image, names)):
        folders = name.split("/")[:-1]
        place = next((k for k, folder in enumerate(folders) if folder.lower() in PARTS), None)
        part = "" if place is None else PARTS[folders[place].lower()]
        below = folders if place is None else folders[place + 1 :]
        if below:
            found[part].append((name, below[0]))
    parted = bool(found["train"] or found["test"])
    if parted and found[""]:
        raise DamagedFileError(
            f"{tree} has train or test folders, and other folders of images beside them, as "
            f"{found[''][0][0]!r}."
        )
    if parted and not (found["train"] and found["test"]):
        raise DamagedFileError(f"{tree}: expected class folders with images in train and in test.")
    classes = sorted({label for _, label in found["train"] or found[""]})
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
        return train, test, classes, []
    rows = split(np.array([label for _, label in rest]), TEST_SHARE, what, seed)
    train, test = ([rest[row] for row in part] for part in rows)
    return train, test, classes, [f"split {len(train)}/{len(test)} by seed {seed}"]


def network_for(path: Path) -> str:
    """Return the network whose inputs are as large as the first image, or that for all others."""
    tree = Tree(path)
    images = sorted(filter(is_image, tree.names()))
    if not images:
        raise DamagedFileError(f"{tree} has no images.")
    name, content = next(tree.read(images[:1]))
    width, height = decode(content, name).size
    sizes = {shape[:2]: name for name, (_, shape) in reversed(NETWORKS.items()) if len(shape) == 3}
    return {"svhn": "cifar"}.get(found := sizes.get((height, width), "image119"), found)


def about(path: Path, network: str = "") -> About:
    """Return the description of a user's folder."""
    name = f"folder:{path}"
    text = "train and test folders, or a fifth of each class drawn by the seed for testing"
    return About(name, name, 0, 0, 0, network, "", "", text, by_hand="it is your own.")


def originals_of(path: Path) -> Originals:
    """Return what stands for a folder's original files."""
    return Originals(about(path), f"folder:{path}", path, unverified=True, quiet=True)
