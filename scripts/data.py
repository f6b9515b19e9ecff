"""The data sets of the paper: what there is, fetch one, verify it, look at it.

python scripts/data.py list
python scripts/data.py fetch cifar10
python scripts/data.py verify caltech101 --data-dir originals/
python scripts/data.py show digits -o digits.png
"""

import argparse
import sys
import warnings
from pathlib import Path

from minibp_datasets import cache, registry
from minibp_datasets.about import File
from minibp_datasets.download import download_folder
from minibp_datasets.originals import Originals, state
from minibp_datasets.tree import is_archive

from minibp import console
from minibp.errors import InputError
from minibp.files import cache_folder, write_atomically
from minibp.study.networks import input_shape
from minibp.study.settings import Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="data.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "list", help="the data sets: sizes, terms, where they come from, and what is here"
    )
    for name, text in (
        ("fetch", "download the originals (or take them from --data-dir) and build the cache"),
        ("verify", "say which files are here, whether they are the originals, and what is missing"),
        ("show", "write a contact sheet: samples with their class names"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        add = command.add_argument
        add(
            "name",
            metavar="NAME",
            help=f"{', '.join(registry.names())}, or a name with --unverified",
        )
        add("--data-dir", type=Path, help="folder or archive with the original files")
        add(
            "--unverified",
            action="store_true",
            help="NAME is that of a copy or part, and begins with the original's: cifar10-jpeg",
        )
        add("--resize", choices=Settings.choices("resize"), default="squash")
        add("--seed", type=int, default=0, help="of the protocol (default: 0)")
        add("--quiet", action="store_true", help="no progress bars")
        if name == "show":
            add("-o", "--output", type=Path, help="the PNG (default: NAME-PART.png)")
            add("--part", choices=("train", "test"), default="train", help="(default: train)")
    return parser


def presence(name: str) -> str:
    """Return whether a data set's cache or originals are here."""
    if registry.built(name):
        return "built"
    about, folder = registry.about(name), download_folder(name)
    if about.by_hand:
        return "files" if folder.is_dir() and any(folder.iterdir()) else "–"
    here = sum((folder / file.name).exists() for file in about.files)
    if here == len(about.files):
        return "downloaded"
    return f"{here} of {len(about.files)}" if here else "–"


def print_list() -> None:
    """Print the table of all data sets."""
    print(
        f"{'name':<15} {'classes':>7} {'train':>6} {'test':>6} {'input':>10} {'network':<8} "
        f"{'how':<9} {'checksums':<11} {'here':<12}"
    )
    print(
        f"{'digits':<15} {10:>7} {1437:>6} {360:>6} {'28x28x1':>10} {'mnist':<8} "
        f"{'embedded':<9} {'–':<11} {'yes':<12}"
    )
    for name in registry.MODULES:
        about = registry.about(name)
        shape = "x".join(map(str, input_shape(about.network)))
        print(
            f"{name:<15} {about.classes:>7} {about.train or '?':>6} {about.test:>6} {shape:>10} "
            f"{about.network:<8} {'by hand' if about.by_hand else 'automatic':<9} "
            f"{'published' if about.verifiable else 'unverified':<11} {presence(name):<12}"
        )
    print("\nTerms and origins:")
    print("  digits           CC BY 4.0; embedded in scikit-learn; enlarged to 28x28, not MNIST")
    for name in registry.MODULES:
        about = registry.about(name)
        print(f"  {name:<16} {about.terms}; {about.origin}")
    print(f"\nCache: {cache_folder()}. Your own data: {', '.join(registry.OWN)}.")


def load(args: argparse.Namespace):
    """Return the data that the arguments name."""
    return registry.load(
        args.name,
        data_dir=args.data_dir,
        quiet=args.quiet,
        unverified=args.unverified,
        resize=args.resize,
        seed=args.seed,
    )


def fetch(args: argparse.Namespace) -> None:
    """Build the cache, and say what it holds."""
    data = load(args)
    print(
        f"{data.name}: {len(data.y_train)} training and {len(data.y_test)} test samples of "
        f"{'x'.join(map(str, data.X_train.shape[1:]))}, {data.classes} classes\n{data.note}\n"
        f"SHA-256 of the samples and labels: {data.sha256}"
    )


def look(source: Originals, file: File) -> tuple[bool, Path, str]:
    """Return whether fetch would take a file, which one, and what it is in words."""
    try:
        path = source.find(file)
        right, words = state(file, path)
        return right, path, words
    except InputError:
        if is_archive(Path(file.name)) and source.unpacked(file) and not source.about.verifiable:
            return True, source.folder, f"taken for what is in {file.name}; not verified"
        return False, source.folder / file.name, "missing"


def verify(args: argparse.Namespace) -> int:
    """Print each file's state; return 1 if something is missing or wrong."""
    if args.unverified or args.name not in registry.MODULES:
        fetch(args)
        return 0
    about, source = registry.about(args.name), registry.originals(args.name, args.data_dir)
    good = True
    for file in about.files if not about.by_hand else ():
        right, path, words = look(source, file)
        good &= right
        print(f"{path}: {words}")
    if good or args.data_dir:  # without a place, to read on would be to download
        try:
            reading = registry.read(args.name, source, args.resize, args.seed)
            print(f"readable: {len(reading.y_train)} + {len(reading.y_test)} samples")
        except InputError as error:
            good = False
            print(error)
    path = registry.cache_path(args.name, source, args.resize, args.seed)
    if path.exists():
        data = cache.load(path)
        print(f"cache {path}: whole; {len(data.y_train)} + {len(data.y_test)} samples")
    else:
        print(f"cache: not built for seed {args.seed}, {args.resize}")
    if not good:
        print(source.wanted())
    return 0 if good else 1


def show(args: argparse.Namespace) -> None:
    """Write the contact sheet."""
    from minibp_datasets.sheet import contact_sheet

    data = load(args)
    path = args.output or Path(f"{registry.short(args.name)}-{args.part}.png")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: choose another -o.")
    write_atomically(path, contact_sheet(data, args.part))
    print(path)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = build_parser().parse_args(argv)
    warnings.showwarning = console.one_line
    try:
        if args.command == "list":
            print_list()
            return 0
        return {"fetch": fetch, "verify": verify, "show": show}[args.command](args) or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on with what was downloaded", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(console.run(main))
