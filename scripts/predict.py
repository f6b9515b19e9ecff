"""Classify images or arrays with the network that a run has trained.

python scripts/predict.py runs/digits-frSF+BN+BM-seed0                       # its own test set
python scripts/predict.py runs/folder-pets-BN-seed0 cat.jpg holiday/ --top 3
python scripts/predict.py runs/npz-mine-BN-seed0 new.npz --csv new.csv
"""

import argparse
import csv
import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from minibp_datasets import arrays, registry
from minibp_datasets.images import fit_all, is_image
from minibp_datasets.originals import only_archive
from minibp_datasets.tree import Tree

from minibp import console
from minibp.device import KERNELS, get_device
from minibp.errors import DamagedFileError, InputError, counted, printable
from minibp.experiments.kept import WEIGHTS
from minibp.files import check_place, write_atomically
from minibp.study.networks import NETWORKS
from minibp.study.trained import Trained, load
from minibp.training.data import check_labels

CHUNK = 1000  # images at a time
COLUMNS = ("file", "class", "probability", "true class")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "run",
        type=Path,
        metavar="RUN",
        help="a run's folder: of all rates (the best counts), or one",
    )
    add(
        "files",
        type=Path,
        nargs="*",
        metavar="FILES",
        help="images, folders or archives of images, and .npz or .h5 files with X (or X_test) and "
        "perhaps y (or y_test); below class folders the true class is known (default: the test "
        "set of the run, of which the error alone is printed)",
    )
    add(
        "--weights",
        choices=tuple(WEIGHTS),
        default="best",
        help="of the epoch with the least test error, of that with the least error on the held-out "
        "part, or of the last epoch (default: best)",
    )
    add(
        "--top", type=int, default=1, metavar="K", help="print the K likeliest classes (default: 1)"
    )
    add("--csv", type=Path, metavar="FILE", help=f"write all to a file: {', '.join(COLUMNS)}")
    add("--data-dir", type=Path, help="where the original files of the run's data set are")
    add("--device", default="cpu", help="cpu, cuda, or auto: a GPU if there is one (default: cpu)")
    add("--kernels", choices=KERNELS, default="auto", help="compiled or plain (default: auto)")
    add("--threads", type=int, help="of the compiled kernels (default: one for each core)")
    add("--quiet", action="store_true", help="print the last line only")
    return parser


@dataclass
class Samples:
    """Samples to classify: what each is called, and its true class, or −1 where that is unknown."""

    names: Sequence[str]
    X: np.ndarray
    y: np.ndarray


def test_set(trained: Trained, data_dir: Path | None, quiet: bool) -> Samples:
    """Return the test set that the run had."""
    record, settings = trained.record, trained.record["settings"]
    name = record["dataset"]
    if data_dir is None and ":" not in name and name not in registry.names():
        raise InputError(f"{name!r} is a copy of your own: give its folder with --data-dir.")
    data = registry.load(
        name,
        data_dir=data_dir,
        quiet=quiet,
        unverified=data_dir is not None and name not in registry.names(),
        resize=settings.get("resize", "squash"),
        seed=settings.get("protocol_seed", 0),
        network=settings.get("network") if settings.get("network") in NETWORKS else None,
    )
    if data.sha256 != record["data_sha256"]:
        raise InputError(
            f"data set {name!r} is not what the run had: its SHA-256 was {record['data_sha256']}, "
            f"now {data.sha256}. Give the files to classify."
        )
    return Samples([f"{name}[{k}]" for k in range(len(data.y_test))], data.X_test, data.y_test)


def samples_in(path: Path, trained: Trained, faults: list[str]) -> Iterator[Samples]:
    """Yield the samples of a file or a folder, a part at a time; add what cannot be read to
    `faults`."""
    if not path.exists():
        raise InputError(
            f"{path} does not exist: expected an image, a folder, an .npz or .h5 file."
        )
    if path.name.lower().endswith(arrays.SUFFIXES):
        X, y = arrays.samples(path)
        if y is None:
            y = np.full(len(X), -1)
        else:
            check_labels(f"{path}, y", y, len(X), len(trained.class_names))
        yield Samples([f"{path}[{k}]" for k in range(len(X))], X, y)
        return
    if len(trained.shape) != 3:
        raise InputError(
            f"{path}: the network takes vectors of {trained.shape[0]} numbers, no images: expected "
            "an .npz or .h5 file."
        )
    found = pictures(path, trained, faults)
    while some := list(itertools.islice(found, CHUNK)):
        names, images, labels = zip(*some, strict=True)
        yield Samples(names, np.stack(images), np.array(labels))


def pictures(
    path: Path, trained: Trained, faults: list[str]
) -> Iterator[tuple[str, np.ndarray, int]]:
    """Yield the images of a folder or an archive, or the single one, as name, array and label.

    They are decoded, turned upright and resized as those of a data set folder:PATH.
    """
    resize = trained.record["settings"].get("resize", "squash")
    if is_image(path.name):
        contents, place = [(path.name, path.read_bytes())], path.parent
    else:
        tree = Tree(only_archive(path, strict=False))
        contents, place = tree.read(list(filter(is_image, tree.names()))), path
    empty, above = True, place.resolve().name  # which may be a class's folder, too
    try:
        for name, image in fit_all(contents, trained.shape, resize, own=True):
            empty = False
            yield str(place / name), image, label_of(f"{above}/{name}", trained.class_names)
    except DamagedFileError as error:  # of the others nothing is lost
        faults.append(f"{place}: {error}")
        return
    if empty:
        raise InputError(f"{path} has no images.")


def label_of(name: str, class_names: Sequence[str]) -> int:
    """Return the class whose folder an image lies in, or −1.

    >>> label_of("test/cat/1.png", ["cat", "dog"]), label_of("1.png", ["cat", "dog"])
    (0, -1)
    """
    folders = map(printable, name.split("/")[:-1])
    inner = reversed(list(folders))
    return next((class_names.index(each) for each in inner if each in class_names), -1)


@dataclass
class Count:
    """How many samples there were, how many with a known class, and how many of these are wrong."""

    samples: int = 0
    known: int = 0
    wrong: int = 0

    def __str__(self) -> str:
        if not self.known:
            return f"{counted(self.samples, 'sample')}, of unknown classes"
        error = 100 * self.wrong / self.known
        unknown = self.samples - self.known
        more = f"; {unknown} more of unknown classes" if unknown else ""
        return f"error rate: {error:.2f} % ({self.wrong} of {self.known} samples{more})"


def classify(trained: Trained, part: Samples, top: int, count: Count) -> Iterator[list[tuple]]:
    """Yield for each sample a row of COLUMNS for each of its likeliest classes, and count."""
    N = trained.outputs(part.X)
    order, P, titles = (
        np.argsort(-N, axis=1, kind="stable")[:, :top],
        trained.likelihoods(N),
        trained.class_names,
    )
    known = part.y >= 0
    count.samples += len(N)
    count.known += int(known.sum())
    count.wrong += int((known & (order[:, 0] != part.y)).sum())
    for k, name in enumerate(part.names):
        true = titles[part.y[k]] if known[k] else ""
        yield [(printable(name), titles[c], float(P[k, c]), true) for c in order[k]]


def in_words(rows: list[tuple]) -> str:
    """Return a sample's rows as a line."""
    (file, likeliest, _, true), *_ = rows
    classes = ", ".join(f"{title} {100 * p:.1f} %" for _, title, p, _ in rows)
    return f"{file}: {classes}" + (f" (wrong: {true})" if true not in ("", likeliest) else "")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        if args.top < 1:
            raise InputError(f"--top {args.top}: expected 1 or more.")
        if args.csv is not None:
            check_place(args.csv)
        device = get_device(args.device, args.kernels, args.threads)
        console.tell(device.note)
        faults: list[str] = []
        trained, count, text = load(args.run, args.weights, device), Count(), io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        if args.files:
            each = (samples_in(path, trained, faults) for path in args.files)
            parts = itertools.chain.from_iterable(each)
        else:
            parts = iter([test_set(trained, args.data_dir, args.quiet)])
        for part in parts:
            for rows in classify(trained, part, args.top, count):
                if args.files and not args.quiet:
                    print(in_words(rows))
                if args.csv is not None:
                    table.writerows(rows)
        if args.csv is not None:
            write_atomically(args.csv, text.getvalue().encode())
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not args.quiet:
        print(f"{trained.record['condition']}, epoch {trained.epoch}{said(trained, args)}")
    print(count)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 2 if faults else 0


def said(trained: Trained, args: argparse.Namespace) -> str:
    """Return what the record says of the test set's error, where that is what was measured."""
    if args.files:
        return ""
    row = trained.rate["history"][trained.epoch - 1]
    return f": the record says {row['error']:.2f} %"


if __name__ == "__main__":
    sys.exit(console.run(main))
