"""A user's own images: a folder of class folders, or of train/CLASS and test/CLASS."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from minibp_datasets.about import About
from minibp_datasets.images import OTHERS, bits_of, is_image, opened
from minibp_datasets.own_images import changes, shape_of
from minibp_datasets.parts import kind_in, roles, suspects
from minibp_datasets.protocols import Labelled, split
from minibp_datasets.reading import Reading, from_images
from minibp_datasets.tree import Tree, hidden

from minibp.errors import DamagedFileError, InputError, counted, listed, printable
from minibp.study.networks import NETWORKS, input_shape
from minibp.training.data import channels_first

LAYOUT = 1  # to be raised when the same folder gives other samples, or another note
TEST_SHARE = 0.2  # where there are no train and test folders
KEPT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")

Place = tuple[str, ...]  # the folders that a file is in, and its name


@dataclass
class Parts:
    """Training and test images with labels, and the classes in alphabetical order.

    remarks  for the note of a result
    told     those that the user is warned of
    """

    train: Labelled
    test: Labelled
    classes: list[str]
    remarks: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def read(tree: Tree, network: str | None, seed: int, resize: str) -> tuple[Reading, str]:
    """Return the images of a tree at a network's input size, and the network: without one, that
    whose inputs are as large as most of the images, or else image119."""
    parts = parts_of(tree, tree.names(), seed)
    if network is not None and len(input_shape(network)) != 3:
        raise InputError(f"network {network!r} takes no images: choose another --network.")
    shapes, converted = _looked_at(tree, [name for name, _ in parts.train + parts.test])
    if network is None:
        network, remarks = _most_fit(shapes)
        parts.remarks += remarks
    if converted:
        counts = ", ".join(f"{number} {what}" for what, number in sorted(converted.items()))
        parts.remarks.append(f"images converted: {counts}")
    shape = input_shape(network)
    reading = from_images(
        *(tree, parts.train, parts.test, map(printable, parts.classes), shape, resize),
        own=True,
        remarks=parts.remarks,
        told=parts.told,
    )
    return reading, network


def parts_of(tree: Tree, names: list[str], seed: int = 0) -> Parts:
    """Return which images of a tree are to train on and to test, and their classes.

    Folders that all images are in do not count. The class is then the folder below train or test
    (see `parts.roles`); without these, the first folder, and a fifth of each class is drawn by the
    seed for testing.

    Raises DamagedFileError where there are no images in class folders, fewer than two classes,
    classes to test that are not trained on, folders that look like parts without being a training
    and a test part, or more folders without an image than with some.
    """
    images = sorted(filter(is_image, names))
    if not images:
        raise DamagedFileError(f"{tree} has no images.")
    above, paths = _without_common([tuple(name.split("/")) for name in images])
    first = {path[0] for path in paths if len(path) > 1}
    deep = {path[0] for path in paths if len(path) > 2}
    part_of = roles(sorted(first), deep)
    if not part_of:
        _refuse_suspects(tree, suspects(sorted(first), deep))
    twice = _wrappers(paths, part_of)
    found: dict[str, list[tuple[str, str]]] = {"train": [], "test": [], "unused": [], "all": []}
    homeless = []
    for name, path in zip(images, paths, strict=True):
        part, below = (part_of.get(path[0]), path[1:]) if part_of else ("all", path)
        below = below[1:] if path[:2] in twice else below
        if part is None or (len(below) < 2 and part != "unused"):
            homeless.append(name)
        else:
            found[part].append((name, below[0]))
    if homeless:
        verb = "is" if len(homeless) == 1 else "are"
        raise DamagedFileError(
            f"{tree}: {listed(map(repr, homeless))} {verb} in no class folder"
            + (" of train or test." if part_of else ".")
        )
    classes = sorted({label for _, label in found["train"] or found["all"]})
    told = _left_out(tree, names)
    lacking = _without_images(tree, names, above, part_of, twice) - set(classes)
    strange = sorted({label for _, label in found["test"]} - set(classes))
    _check_classes(tree, classes, strange, sorted(lacking))
    if lacking:
        what = counted(len(lacking), "folder")
        told.append(f"{what} without an image that can be read left out: {listed(sorted(lacking))}")
    train, test, rest = (
        [(name, classes.index(label)) for name, label in found[part]]
        for part in ("train", "test", "all")
    )
    if part_of:
        remarks = _parts_in_words(part_of, len(found["unused"]))
    else:
        rows = split(np.array([label for _, label in rest]), TEST_SHARE, "own", seed)
        train, test = ([rest[row] for row in part] for part in rows)
        remarks = [f"split {len(train)}/{len(test)} by seed {seed}"]
    untested = sorted(set(range(len(classes))) - {label for _, label in test})
    if untested:
        untold = listed(classes[label] for label in untested)
        remarks.append(f"{counted(len(untested), 'class')} never tested: {untold}")
    remarks += _other_files(names)
    return Parts(train, test, classes, remarks, told)


def _without_common(paths: list[Place]) -> tuple[Place, list[Place]]:
    """Return the folders that all paths are in, but for a class's and train's, and the paths
    without them."""
    above: Place = ()
    while paths and all(len(path) > 2 for path in paths) and len({path[0] for path in paths}) == 1:
        above, paths = (*above, paths[0][0]), [path[1:] for path in paths]
    return above, paths


def _wrappers(paths: list[Place], part_of: Collection[str]) -> set[Place]:
    """Return the parts that have nothing but one folder with a part's name, as train/train/cat."""
    inside: dict[str, set[Place]] = {part: set() for part in part_of}
    for path in paths:
        if path[0] in inside:
            inside[path[0]].add(path[:2] if len(path) > 2 else ())
    alone = [next(iter(places)) for places in inside.values() if len(places) == 1]
    return {place for place in alone if place and kind_in(place[1])}


def _refuse_suspects(tree: Tree, names: list[str]) -> None:
    if names:
        look = "this looks like a part, not a class" if len(names) == 1 else None
        raise DamagedFileError(
            f"{tree}: {listed(names)}: {look or 'these look like parts, not classes'}. Name the "
            "folders train and test (val and dev are known, too), each with a folder of images for "
            "every class, or give the path of one of them; or name classes in another way."
        )


def _check_classes(tree: Tree, classes: list[str], strange: list[str], lacking: list[str]) -> None:
    none = f"{counted(len(lacking), 'folder')} without an image that can be read: {listed(lacking)}"
    if strange:
        what = "class" if len(strange) == 1 else "classes"
        names = listed(map(repr, strange))
        raise DamagedFileError(f"{tree}: test has {what} {names}, which train has not.")
    if len(lacking) > len(classes):
        raise DamagedFileError(
            f"{tree}: {counted(len(classes), 'class')}, but {none}. Remove them, or save their "
            "images as JPEG or PNG."
        )
    if len(classes) < 2:
        raise DamagedFileError(
            f"{tree}: {counted(len(classes), 'class')}{f', and {none}' if lacking else ''}. "
            "Expected a folder of images for each class, or train and test folders with these."
        )


def _without_images(
    tree: Tree, names: list[str], above: Place, part_of: dict[str, str], twice: set[Place]
) -> set[str]:
    """Return the folders where classes are, or would be if there were images in them."""
    places = {tuple(name.split("/")) for name in tree.folders if not hidden(name)}
    places |= {tuple(name.split("/"))[:-1] for name in names}
    below = [place[len(above) :] for place in places if place[: len(above)] == above]
    if part_of:
        used = [place for place in below if place and part_of.get(place[0], "unused") != "unused"]
        below = [place[2:] if place[:2] in twice else place[1:] for place in used]
    return {place[0] for place in below if place}


def _left_out(tree: Tree, names: list[str]) -> list[str]:
    """Return in words which pictures cannot be read."""
    others = [name for name in names if name.lower().endswith(OTHERS)]
    told = []
    if others:
        kinds = ", ".join(sorted({Path(name).suffix.lower() for name in others}))
        told.append(
            f"{counted(len(others), 'file')} of a kind that is not read ({kinds}) left out: "
            f"{listed(others)}"
        )
    if tree.broken:
        links = counted(len(tree.broken), "link")
        verb = "leads" if len(tree.broken) == 1 else "lead"
        told.append(f"{links} that {verb} nowhere left out: {listed(tree.broken)}")
    return told


def _other_files(names: list[str]) -> list[str]:
    files = [name for name in names if not name.lower().endswith(OTHERS) and not is_image(name)]
    files = [name for name in files if not name.lower().endswith(KEPT_BY_SYSTEMS)]
    return [f"{counted(len(files), 'other file')} left out: {listed(files)}"] if files else []


def _parts_in_words(part_of: dict[str, str], unused: int) -> list[str]:
    """Return which folders the parts are, if these are not their names, and what is unused."""
    taken = {name: part for name, part in part_of.items() if part != "unused"}
    words = []
    if any(name.lower() != part for name, part in taken.items()):
        words.append(", ".join(f"{name} taken to {part}" for name, part in taken.items()))
    if unused:
        words.append(
            f"{counted(unused, 'image')} of "
            f"{listed(name for name, part in part_of.items() if part == 'unused')} left out"
        )
    return words


def _looked_at(tree: Tree, names: list[str]) -> tuple[Counter, Counter]:
    """Return how many images have which shape, and which are converted in which way; what cannot be
    opened is told when it is decoded."""
    shapes: Counter = Counter()
    converted: Counter = Counter()
    for _, content in tree.read(names):
        try:
            image = opened(content)
            found, ways = shape_of(image), changes(image, bits_of(image, content))
        except Exception:  # a broken file can make a codec raise anything
            continue
        shapes[found] += 1
        converted.update(ways)
    return shapes, converted


def _most_fit(shapes: Counter) -> tuple[str, list[str]]:
    """Return the network that most images have the size for, and a remark if not all have it."""
    votes: Counter = Counter()
    for shape, number in sorted(shapes.items()):
        votes[fitting(shape) or "image119"] += number
    network, most = (votes.most_common(1) or [("image119", 0)])[0]
    number = sum(votes.values())
    differ = [f"network {network} by the size of {most} of {number} images"]
    return network, differ if most < number else []


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
        f"no network of Table 1 takes inputs of shape {shape}: they take {shapes}. Bring them to "
        f"one of these; images in folder: are resized.{channels_first((1, *shape))}"
    )


def about(path: Path, network: str = "") -> About:
    """Return the description of a user's folder."""
    name = f"folder:{path}"
    text = "train and test folders, or a fifth of each class drawn by the seed for testing"
    return About(name, name, 0, 0, 0, network, "", "", text, by_hand="give your own folder.")
