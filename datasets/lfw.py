"""LFW-ID: 80 people with at least 15 images, 10 + 5 of each."""

from minibp_datasets.about import About, File
from minibp_datasets.faces import read_faces
from minibp_datasets.images import is_image
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import by_folder
from minibp_datasets.reading import Reading

TRAIN, TEST = 10, 5

ABOUT = About(
    name="lfw-id",
    title="LFW-ID",
    classes=80,
    train=800,
    test=400,
    network="image119",
    terms="for research; faces of real people; cite Huang et al. 2008",
    origin="http://vis-www.cs.umass.edu/lfw/",
    protocol="80 of the people with at least 15 images, 10 + 5 each, by the seed; not aligned",
    files=(
        File(
            "lfw.tgz",
            ("http://vis-www.cs.umass.edu/lfw/", "https://ndownloader.figshare.com/files/5976018"),
            "md5:a17d05bd522c52d84eca14327a23d494",
            "torchvision",
        ),
    ),
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return images of the network's input size."""
    tree = originals.tree(ABOUT.files[0])
    people = by_folder([name for name in tree.names() if is_image(name)])
    return read_faces(tree, people, TRAIN, TEST, ABOUT, seed, resize)
