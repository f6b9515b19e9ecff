"""CIFAR-100: the binary version, fine labels."""

from minibp_datasets.about import About, File
from minibp_datasets.cifar10 import from_batches
from minibp_datasets.originals import Originals
from minibp_datasets.reading import Reading

from minibp.errors import DamagedFileError

ABOUT = About(
    name="cifar100",
    title="CIFAR-100",
    classes=100,
    train=50000,
    test=10000,
    network="cifar",
    terms="no explicit licence; cite Krizhevsky 2009",
    origin="https://www.cs.toronto.edu/~kriz/cifar.html",
    protocol="the published split, fine labels",
    files=(
        File(
            "cifar-100-binary.tar.gz",
            ("https://www.cs.toronto.edu/~kriz/",),
            "md5:03b5dce01913d631647c71ecec9e9cb8",
            "its publisher",
        ),
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images (N, 32, 32, 3)."""
    tree = originals.tree(ABOUT.files[0])
    names = tree.names()
    lists = [name for name in names if name.endswith("fine_label_names.txt")]
    if len(lists) != 1:
        raise DamagedFileError(f"{tree}: expected fine_label_names.txt once, found {len(lists)}.")
    content = next(content for _, content in tree.read(lists))
    classes = content.decode("ascii", "replace").split()
    if len(classes) != ABOUT.classes:
        raise DamagedFileError(f"{tree}, {lists[0]}: {len(classes)} names, expected 100.")
    batches = [name for name in names if name.endswith(("train.bin", "test.bin"))]
    return from_batches(tree, batches, "test", 2, classes, originals, seed)
