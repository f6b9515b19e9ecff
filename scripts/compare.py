"""Compare how two trained networks see the same samples: linear CKA, block by block.

python scripts/compare.py runs/digits-BN-seed0 runs/digits-RndF+BN-seed0
python scripts/compare.py runs/digits-BN-seed0 runs/digits-DFA+BN-seed0 --picture cka.png

1 says that the outputs of both blocks are the same but for a turn and a scale, 0 that they have
nothing in common. The samples are those of the test set that both runs had.
"""

import argparse
import csv
import io
import sys
from pathlib import Path

import numpy as np
from predict import test_set

from minibp import console
from minibp.device import KERNELS, get_device
from minibp.errors import InputError
from minibp.experiments.kept import WEIGHTS
from minibp.experiments.plots import matrix
from minibp.files import check_place, write_atomically
from minibp.study.similarity import similarities
from minibp.study.trained import Trained, load

SAMPLES = 500


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("runs", type=Path, nargs=2, metavar="RUN", help="a run's folder, as for predict.py")
    add(
        "--weights",
        choices=tuple(WEIGHTS),
        default="best",
        help="of which epoch, as for predict.py (default: best)",
    )
    add(
        "--samples",
        type=int,
        default=SAMPLES,
        metavar="N",
        help=f"the first N of the test set (default: {SAMPLES})",
    )
    add("--csv", type=Path, metavar="FILE", help="write the table to a file")
    add("--picture", type=Path, metavar="FILE", help="draw the table, as PNG")
    add("--data-dir", type=Path, help="where the original files of the runs' data set are")
    add("--device", default="cpu", help="cpu, cuda, or auto: a GPU if there is one (default: cpu)")
    add("--kernels", choices=KERNELS, default="auto", help="compiled or plain (default: auto)")
    add("--threads", type=int, help="of the compiled kernels (default: one for each core)")
    return parser


def check_same_data(one: Trained, other: Trained) -> None:
    """Raise InputError unless both runs had the same data."""
    ours, theirs = one.record, other.record
    if ours["data_sha256"] != theirs["data_sha256"]:
        raise InputError(
            f"the runs are of different data, {ours['dataset']} and {theirs['dataset']} (SHA-256 "
            f"{ours['data_sha256'][:12]}… and {theirs['data_sha256'][:12]}…): expected two of the "
            "same."
        )


def title(trained: Trained) -> str:
    """Return a run in words."""
    record = trained.record
    return f"{record['condition']}, seed {record['seed']}, epoch {trained.epoch}"


def table(rows: list[str], columns: list[str], values: np.ndarray) -> str:
    """Return the values as a text of lines and columns."""
    wide = max(5, *map(len, columns))
    left = max(map(len, rows))
    lines = [" ".join([" " * left, *(name.rjust(wide) for name in columns)])]
    for name, line in zip(rows, values, strict=True):
        lines.append(" ".join([name.ljust(left), *(f"{value:{wide}.3f}" for value in line)]))
    return "\n".join(lines)


def as_csv(rows: list[str], columns: list[str], values: np.ndarray) -> str:
    """Return the values as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["block", *columns])
    writer.writerows([name, *map(float, line)] for name, line in zip(rows, values, strict=True))
    return text.getvalue()


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        if args.samples < 2:
            raise InputError(f"--samples {args.samples}: expected 2 or more.")
        for place in (args.csv, args.picture):
            if place is not None:
                check_place(place)
        device = get_device(args.device, args.kernels, args.threads)
        console.tell(device.note)
        one, other = (load(run, args.weights, device) for run in args.runs)
        check_same_data(one, other)
        samples = test_set(one, args.data_dir, quiet=True)
        X, y = samples.X[: args.samples], samples.y[: args.samples]
        ours, theirs = one.blocks(X), other.blocks(X)
        values = similarities(ours, theirs)
        rows, columns = list(ours), list(theirs)
        if args.csv is not None:
            write_atomically(args.csv, as_csv(rows, columns, values).encode())
        if args.picture is not None:
            picture = matrix(values, rows, columns, "linear CKA", title(one), title(other))
            write_atomically(args.picture, picture)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    first, second = (list(blocks.values())[-1].argmax(axis=1) for blocks in (ours, theirs))
    print(f"linear CKA of {len(X)} test samples of {one.record['dataset']}")
    print(f"lines:   {title(one)}\ncolumns: {title(other)}\n")
    print(table(rows, columns, values))
    wrong = " and ".join(f"{100 * (found != y).mean():.2f} %" for found in (first, second))
    same = 100 * (first == second).mean()
    print(f"\nof these samples the same class: {same:.2f} %; error rates: {wrong}")
    return 0


if __name__ == "__main__":
    sys.exit(console.run(main))
