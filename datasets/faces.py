"""80-way face identification, the protocol that three data sets share (Sec. 5)."""

from minibp_datasets.about import About
from minibp_datasets.protocols import sample_classes, sample_each
from minibp_datasets.reading import Reading, from_images
from minibp_datasets.tree import Tree

from minibp.study.networks import input_shape

IDENTITIES = 80


def read_faces(
    tree: Tree, people: dict[str, list[str]], train: int, test: int, about: About, seed, resize
) -> Reading:
    """Return the reading of 80 people with enough images, drawn by the seed, and train + test
    images of each."""
    enough = {name: files for name, files in people.items() if len(files) >= train + test}
    chosen = sample_classes(list(enough), IDENTITIES, about.name, seed)
    classes = {name: enough[name] for name in chosen}
    parts = sample_each(classes, train, test, about.name, seed)[:2]
    titles = [name.replace("_", " ") for name in chosen]
    return from_images(tree, *parts, titles, input_shape(about.network), resize)
