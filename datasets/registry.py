"""The data sets by name: their files, their cache, their samples."""

import hashlib
import importlib
import re
import warnings
from pathlib import Path
from types import ModuleType

from minibp_datasets import arrays, cache, digits, folder, synthetic
from minibp_datasets.about import About
from minibp_datasets.originals import Originals, only_archive
from minibp_datasets.reading import Reading
from minibp_datasets.tree import Tree

import minibp
from minibp.errors import DamagedFileError, InputError, printable, unknown
from minibp.files import cache_folder
from minibp.training.data import Data

# By name, in the paper's order: the module of each, which has ABOUT and read.
MODULES = {
    "mnist": "mnist",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "svhn": "svhn",
    "stl10": "stl10",
    "caltech101": "caltech101",
    "caltech256-101": "caltech256",
    "icubworld": "icubworld",
    "flowers17": "flowers17",
    "flowers102": "flowers102",
    "pubfig83-id": "pubfig83",
    "sufrw-id": "sufrw",
    "lfw-id": "lfw",
    "indoor67": "indoor67",
    "timit80": "timit80",
}
OWN = ("synthetic:NETWORK", "folder:PATH", "npz:FILE", "h5:FILE")
LAYOUT = 2  # of the cache; to be raised when a reader's samples change


def names() -> tuple[str, ...]:
    """Return the names of all data sets; `load` takes those of OWN, too."""
    return ("digits", *MODULES)


def about(name: str) -> About:
    """Return what is known of a data set of the paper."""
    return _module(name).ABOUT


def load(
    name: str,
    data_dir: Path | str | None = None,
    quiet: bool = False,
    *,
    unverified: bool = False,
    resize: str = "squash",
    seed: int = 0,
    network: str | None = None,
) -> Data:
    """Return a data set.

    name        one of `names()`, "synthetic:NETWORK", "folder:PATH", "npz:FILE" or "h5:FILE"; of a
                file whose name ends in .npz, .h5 or .hdf5 that alone; of a copy that differs from
                the original, a name of its own that begins with the original's, such as
                "cifar10-jpeg"
    data_dir    folder or archive with the original files; without it they are downloaded
    quiet       no progress bars
    unverified  whether it is such a copy
    resize      "squash" or "crop", for images of other sizes
    seed        of the protocol: which classes and samples are drawn
    network     whose input size the images of folder:PATH are brought to

    The samples of the paper's data sets and of folders are kept in a cache, and mapped from there.
    Raises InputError for an unknown name, unusable files, or a download that fails.
    """
    place = None if data_dir is None else Path(data_dir)
    kind, own, rest = name.partition(":")
    if unverified:
        return _cached(name, _original_of(name, place), place, quiet, resize, seed, True)
    if name in MODULES:
        return _cached(name, _module(name), place, quiet, resize, seed, False)
    if place is not None:
        why = "is embedded: it takes" if name == "digits" else "takes"
        raise InputError(f"data set {name!r} {why} no --data-dir.")
    if name == "digits":
        return digits.load()
    if own and kind in ("npz", "h5", "folder", "synthetic") and not rest:
        raise InputError(f"data set {name!r}: expected {', '.join(OWN)}.")
    if own and kind in ("npz", "h5"):
        return (arrays.load_npz if kind == "npz" else arrays.load_h5)(Path(rest), seed)
    if own and kind == "synthetic":
        return synthetic.load(rest)
    if own and kind == "folder":
        return _folder(Path(rest), quiet, resize, seed, network)
    if name.lower().endswith(arrays.SUFFIXES):
        return arrays.load(Path(name), seed)
    raise unknown("data set", name, [*names(), *OWN, "your_own.npz", "your_own.h5"])


def short(name: str) -> str:
    """Return a data set's name for a file's: of a user's own its kind and the last of its path, so
    that it is never taken for another.

    >>> short("cifar10"), short("folder:my/cifar10/"), short("my/mnist.npz"), short("mnist.hdf5")
    ('cifar10', 'folder-cifar10', 'npz-mnist', 'h5-mnist')
    """
    kind, own, rest = name.partition(":")
    if not own and name.lower().endswith(arrays.SUFFIXES):
        kind, rest = "npz" if name.lower().endswith(".npz") else "h5", name
    elif not own:
        kind, rest = "", name
    stem = Path(rest).stem if kind in ("npz", "h5") else Path(rest).name
    return re.sub(r"[^\w.=,-]+", "_", "-".join(filter(None, (kind, stem))))


def cache_path(name: str, originals: Originals, resize: str, seed: int, network: str = "") -> Path:
    """Return where a data set's cache is, which depends on its files and the protocol."""
    facts = f"{name} {originals.fingerprint()} {network} {LAYOUT}"
    digest = hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    file = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[-80:]
    return cache_folder() / "built" / f"{file}-{resize}-seed{seed}-{digest}.h5"


def built(name: str) -> bool:
    """Return whether a data set of the paper is in the cache, for whatever seed."""
    pattern = re.compile(re.escape(name) + r"-(squash|crop)-seed\d+-[0-9a-f]{8}\.h5")
    folder = cache_folder() / "built"
    return folder.is_dir() and any(pattern.fullmatch(path.name) for path in folder.iterdir())


def originals(name: str, place: Path | None = None) -> Originals:
    """Return what a data set of the paper is read from."""
    return Originals(about(name), name, place, unverified=False, quiet=True)


def read(name: str, source: Originals, resize: str = "squash", seed: int = 0) -> Reading:
    """Return what a data set's reader makes of its files, without a look at the samples."""
    return _module(name).read(source, seed, resize)


def _cached(
    name: str, module: ModuleType, place: Path | None, quiet, resize, seed, unverified: bool
) -> Data:
    source = Originals(module.ABOUT, name, place, unverified=unverified, quiet=quiet)
    path = cache_path(name, source, resize, seed)
    if place is not None and path.exists() and not unverified and module.ABOUT.verifiable:
        for file in module.ABOUT.files:  # a place that is given has the originals, cache or not
            source.file(file)

    def reading() -> Reading:
        found = module.read(source, seed, resize)
        for part in ("train", "test"):
            expected, count = getattr(module.ABOUT, part), len(getattr(found, f"y_{part}"))
            if expected not in (0, count) and not unverified:
                found.remarks += (f"{count} samples to {part}, not {expected}",)
        return found

    return _built(path, reading, module.ABOUT, source, seed, resize, quiet)


def _folder(place: Path, quiet: bool, resize: str, seed: int, network: str | None) -> Data:
    name = f"folder:{place}"
    if not place.exists():
        raise InputError(
            f"{name}: {place} does not exist. Expected a folder, tar or zip of images."
        )
    tree = Tree(only_archive(place, strict=False))
    source = Originals(folder.about(place), name, place, unverified=True, quiet=quiet)
    source.anything()
    if tree.path.is_dir():
        tree.names()  # so that folders without files count, too; an archive changes as a whole
    facts = f"{network or ''} {folder.LAYOUT} {sorted(tree.folders)} {tree.broken}"
    path = cache_path(name, source, resize, seed, facts)
    if path.exists():
        return _loaded(path)
    reading, chosen = folder.read(tree, network, seed, resize)
    return _built(path, lambda: reading, folder.about(place, chosen), source, seed, resize, quiet)


def _built(path: Path, read, about: About, source: Originals, seed, resize, quiet) -> Data:
    """Return the data of a cache file, which is built if it is not there."""
    if path.exists():
        return _loaded(path)
    try:
        reading = read()
        facts = {
            "name": printable(source.name),
            "classes": len(reading.class_names),
            "network": about.network,
            "note": printable(note(about, source, reading)),
            "told": [printable(remark) for remark in reading.told],
            "sources": source.taken,
            "protocol": about.protocol,
            "seed": seed,
            "resize": resize,
            "version": minibp.__version__,
        }
        cache.build(path, reading, facts, quiet=quiet)
    except DamagedFileError:
        source.reject()
        raise
    source.vouch()
    return _loaded(path)


def _loaded(path: Path) -> Data:
    """Return the data of a cache file, and warn of what the note alone is not enough for."""
    data = cache.load(path)
    for remark in cache.provenance(path).get("told", ()):
        warnings.warn(f"data set {data.name!r}: {remark}.", stacklevel=4)
    return data


def note(about: About, source: Originals, reading: Reading) -> str:
    """Return what a reader of results should know of the data."""
    if about.name.startswith("folder:"):
        words = [f"the user's own {about.name}"]
    elif source.unverified:
        words = [f"{source.name}: an unverified copy or part of {about.title}"]
    else:
        words = [about.title]
    if not source.unverified and not all(entry["verified_by"] for entry in source.taken):
        words.append("unverified: no published checksum")
    return "; ".join(
        [*words, *reading.told, *reading.remarks, *([about.terms] if about.terms else [])]
    )


def _original_of(name: str, place: Path | None) -> ModuleType:
    """Return the module of the data set that an unverified copy's name begins with."""
    original = next((known for known in MODULES if name.startswith(f"{known}-")), None)
    word = name.removeprefix(f"{original}-")
    if original is None or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", word):
        raise InputError(
            f"--unverified {name!r}: expected the original's name, a hyphen, and a word of your "
            "own of letters and digits, such as "
            f"cifar10-jpeg. Known: {', '.join(MODULES)}."
        )
    if place is None:
        raise InputError(f"--unverified {name}: give the copy's folder or archive with --data-dir.")
    return _module(original)


def _module(name: str) -> ModuleType:
    if name not in MODULES:
        raise unknown("data set", name, MODULES)
    return importlib.import_module(f"minibp_datasets.{MODULES[name]}")
