"""PubFig83-ID: 80 of its 83 people, 85 + 15 images of each."""

from minibp_datasets.about import About, File
from minibp_datasets.faces import read_faces
from minibp_datasets.images import is_image
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import by_folder
from minibp_datasets.reading import Reading

TRAIN, TEST = 85, 15

ABOUT = About(
    name="pubfig83-id",
    title="PubFig83-ID",
    classes=80,
    train=6800,
    test=1200,
    network="image119",
    terms="for research; faces of real people; cite Pinto et al. 2011",
    origin="http://vision.seas.harvard.edu/pubfig83/",
    protocol="80 of the people, 85 + 15 images each, by the seed",
    files=(File("pubfig83.v1.tgz"),),
    by_hand='its links are dead: ask the authors (Pinto, Stone, Zickler and Cox, "Scaling up '
    'biologically-inspired computer vision", 2011) for pubfig83.v1.tgz, with a folder of images '
    "for each person.",
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size."""
    tree = originals.tree(ABOUT.files[0])
    people = by_folder([name for name in tree.names() if is_image(name)])
    return read_faces(tree, people, TRAIN, TEST, ABOUT, seed, resize)
