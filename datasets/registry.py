"""The data sets by name: their files, their cache, their samples."""

import hashlib
import importlib
from pathlib import Path
from types import ModuleType

from minibp_datasets import arrays, cache, digits, folder, synthetic
from minibp_datasets.about import About
from minibp_datasets.originals import Originals
from minibp_datasets.reading import Reading

from minibp.data import Data
from minibp.errors import InputError, unknown
from minibp.files import cache_folder

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
LAYOUT = 1  # of the cache; to be raised when a reader's samples change


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
                copy that differs from the original, a name of its own that begins with the
                original's, such as "cifar10-jpeg"
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
    kind, colon, rest = name.partition(":")
    if unverified:
        return _cached(name, _original_of(name, place), place, quiet, resize, seed, True)
    if place is not None and (colon or name == "digits" or name.endswith((".npz", ".h5"))):
        raise InputError(
            f"data set {name!r} is embedded: it takes no --data-dir."
            if name == "digits"
            else f"data set {name!r} takes no --data-dir."
        )
    if name == "digits":
        return digits.load()
    if (kind == "npz" and colon) or name.endswith(".npz"):
        return arrays.load_npz(Path(name.removeprefix("npz:")), seed)
    if kind == "h5" and colon:
        return arrays.load_h5(Path(rest), seed)
    if kind == "synthetic" and colon:
        return synthetic.load(rest)
    if kind == "folder" and colon:
        return _folder(Path(rest), quiet, resize, seed, network)
    if name not in MODULES:
        raise unknown("data set", name, [*names(), *OWN, "your_own.npz"])
    return _cached(name, _module(name), place, quiet, resize, seed, False)


def cache_path(name: str, originals: Originals, resize: str, seed: int, network: str = "") -> Path:
    """Return where a data set's cache is, which depends on its files and the protocol."""
    facts = f"{originals.fingerprint()} {network} {LAYOUT}"
    digest = hashlib.sha256(facts.encode()).hexdigest()[:8]
    file = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[-80:]
    return cache_folder() / "built" / f"{file}-{resize}-seed{seed}-{digest}.h5"


def _cached(
    name: str, module: ModuleType, place: Path | None, quiet, resize, seed, unverified: bool
) -> Data:
    originals = Originals(module.ABOUT, name, place, unverified=unverified, quiet=quiet)
    path = cache_path(name, originals, resize, seed)

    def read() -> Reading:
        reading = module.read(originals, seed, resize)
        for part in ("train", "test"):
            expected, found = getattr(module.ABOUT, part), len(getattr(reading, f"y_{part}"))
            if expected not in (0, found) and not unverified:
                reading.remarks += (f"{found} samples to {part}, not {expected}",)
        return reading

    return _built(path, read, module.ABOUT, originals, name, seed, resize, quiet)


def _folder(path: Path, quiet: bool, resize: str, seed: int, network: str | None) -> Data:
    originals = folder.originals_of(path)
    network = network or folder.network_for(path)
    name = f"folder:{path}"
    return _built(
        cache_path(name, originals, resize, seed, network),
        lambda: folder.read(path, network, seed, resize),
        folder.about(path, network),
        originals,
        name,
        seed,
        resize,
        quiet,
    )


def _built(path: Path, read, about: About, originals: Originals, name, seed, resize, quiet) -> Data:
    """Return the data of a cache file, which is built if it is not there."""
    if path.exists():
        return cache.load(path)
    reading = read()
    facts = {
        "name": name,
        "classes": len(reading.class_names),
        "network": about.network,
        "note": note(about, originals, reading, name),
        "sources": originals.taken,
        "protocol": about.protocol,
        "seed": seed,
        "resize": resize,
        "version": cache.version(),
    }
    cache.build(path, reading, facts, quiet=quiet)
    return cache.load(path)


def note(about: About, originals: Originals, reading: Reading, name: str) -> str:
    """Return what a reader of results should know of the data."""
    if originals.unverified and about.name != name:
        words = [f"{name}: an unverified copy or part of {about.title}"]
    else:
        words = [about.title if about.title != name else f"the user's own {name}"]
    if not originals.unverified and not all(entry["verified_by"] for entry in originals.taken):
        words.append("unverified: no published checksum")
    return "; ".join([*words, *reading.remarks, *([about.terms] if about.terms else [])])


def _original_of(name: str, place: Path | None) -> ModuleType:
    """Return the module of the data set that an unverified copy's name begins with."""
    original = next((known for known in MODULES if name.startswith(f"{known}-")), None)
    if original is None:
        raise InputError(
            f"--unverified {name!r}: expected the original's name, a hyphen, and a word of your "
            f"own, such as cifar10-jpeg. Known: {', '.join(MODULES)}."
        )
    if place is None:
        raise InputError(f"--unverified {name}: give the copy's folder or archive with --data-dir.")
    return _module(original)


def _module(name: str) -> ModuleType:
    if name not in MODULES:
        raise unknown("data set", name, MODULES)
    return importlib.import_module(f"minibp_datasets.{MODULES[name]}")
