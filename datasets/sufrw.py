"""SUFR-W-ID: 80 people of "SUFR in the wild", 10 + 5 images of each."""

import re

from minibp_datasets.about import About, File
from minibp_datasets.faces import read_faces
from minibp_datasets.images import is_image
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import by_folder
from minibp_datasets.reading import Reading

from minibp.errors import DamagedFileError

TRAIN, TEST = 10, 5
LIST = "SUFR_in_the_wild_info.txt"

ABOUT = About(
    name="sufrw-id",
    title="SUFR-W-ID",
    classes=80,
    train=800,
    test=400,
    network="image119",
    terms="for research; faces of real people; cite Leibo, Liao and Poggio 2014",
    origin="https://cbmm.mit.edu",
    protocol="80 of the people with at least 15 images, 10 + 5 each, by the seed",
    files=(File("SUFR"),),
    by_hand='ask the authors of "Subtasks of unconstrained face recognition" (2014, '
    "https://cbmm.mit.edu) for SUFR, and unpack SUFR_in_the_wild (N.jpg and its "
    "SUFR_in_the_wild_info.txt), or leave it a tar or zip.",
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size. Without a list, each person has a folder."""
    tree = originals.anything()
    names = tree.names()
    images = [name for name in names if is_image(name)]
    lists = [name for name in names if name.endswith(LIST)]
    if len(lists) > 1:
        raise DamagedFileError(f"{tree} has several lists: {', '.join(lists)}.")
    if lists:
        beside = lists[0].removesuffix(LIST)
        images = [name for name in images if name.rpartition("/")[0] == beside.rstrip("/")]
        content = next(content for _, content in tree.read(lists))
        people = parse_list(content, images, f"{tree}, {lists[0]}")
    else:
        people = by_folder(images)
    return read_faces(tree, people, TRAIN, TEST, ABOUT, seed, resize)


def parse_list(content: bytes, images: list[str], what: str) -> dict[str, list[str]]:
    """Return image names by person, from lines such as "1 # Ann Example".

    The numbers are the images' if each occurs once; else they count the people, and line N is
    image N's.
    """
    by_number: dict[int, str] = {}
    for name in images:
        stem = name.rpartition("/")[2].partition(".")[0]
        if stem.isdecimal():
            if int(stem) in by_number:
                raise DamagedFileError(f"{what}: image {int(stem)} is there twice.")
            by_number[int(stem)] = name
    rows = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        match = re.fullmatch(r"\s*([0-9]{0,9})\s*#\s*(.+?)\s*", line)
        if match:
            rows.append((number, int(match[1] or 0), match[2]))
        elif line.strip():
            raise DamagedFileError(f"{what}, line {number}: {line[:60]!r} names no person.")
    named = len({own for _, own, _ in rows}) == len(rows)
    people: dict[str, list[str]] = {}
    for number, own, person in rows:
        image = own if named else number
        if image not in by_number:
            raise DamagedFileError(f"{what}, line {number}: there is no image {image}.")
        people.setdefault(person, []).append(by_number[image])
    return people
