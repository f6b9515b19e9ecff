"""iCubWorld: categorization of objects in a robot's view (Fanello et al. 2013)."""

from minibp_datasets.about import About, File
from minibp_datasets.images import is_image
from minibp_datasets.originals import Originals
from minibp_datasets.reading import Reading, from_images

from minibp.errors import DamagedFileError
from minibp.study.networks import input_shape

TEST = "categorization"  # of its test sets, the one with objects that were not trained on

ABOUT = About(
    name="icubworld",
    title="iCubWorld (categorization)",
    classes=10,
    train=0,
    test=2001,
    network="image119",
    terms="for research; cite Fanello et al. 2013",
    origin="https://robotology.github.io/iCubWorld/",
    protocol="train on the images of the folder train; test on those of test/categorization, "
    "objects that were not trained on",
    files=(File("iCubWorld"),),
    by_hand="ask for iCubWorld's categorization data set (2013) at "
    "https://robotology.github.io/iCubWorld/, and unpack it, or leave it a tar or zip, with "
    "folders train/CLASS/… and test/categorization/CLASS/… (or test/CLASS/…).",
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size."""
    tree = originals.anything()
    names = [name for name in tree.names() if is_image(name)]
    below_test = f"test/{TEST}" if any(f"/test/{TEST}/" in f"/{name}" for name in names) else "test"
    found: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    roots = set()
    for name in sorted(names):
        for part, folder in (("train", "train"), ("test", below_test)):
            root, there, below = f"/{name}".partition(f"/{folder}/")
            if there and "/" in below:
                found[part].append((name, below.partition("/")[0]))
                roots.add(root)
                break
    if len(roots) > 1:
        places = ", ".join(root.lstrip("/") or "." for root in sorted(roots))
        raise DamagedFileError(f"{tree} has train and test in {places}: give the path of one.")
    classes = sorted({label for _, label in found["train"]})
    if len(classes) != ABOUT.classes:
        raise DamagedFileError(f"{tree}: {len(classes)} class folders below train, expected 10.")
    strange = sorted({label for _, label in found["test"]} - set(classes))
    if strange:
        raise DamagedFileError(f"{tree}: test has {', '.join(strange)}, which train has not.")
    train, test = (
        [(name, classes.index(label)) for name, label in found[part]] for part in ("train", "test")
    )
    return from_images(tree, train, test, classes, input_shape(ABOUT.network), resize)
