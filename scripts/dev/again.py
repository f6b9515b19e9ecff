"""Train some rows of a table of runs again, drawn at random: are its numbers what comes out?

    python scripts/dev/again.py docs/results/norms.csv --draw 3 --only network=mlp-256 -- \\
        --train-limit 12500 --holdout 0.2 --set init=he --set preprocess=channels

What comes after -- goes to train.py: all that a row does not say. Each run takes one thread, as a
sweep's do. On the same kind of processor the numbers are the same to the bit; else they differ as
docs/speed.md says.
"""

import argparse
import itertools
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from minibp import console
from minibp.errors import InputError
from minibp.experiments import flat, results

TRAIN = Path(__file__).parent.parent / "train.py"
COMPARED = ("train", "best_error", "best_epoch", "diverged_epoch", "honest_error", "holdout_error")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="again.py",
        usage="%(prog)s [-h] [--draw N] [--seed N] [--only COLUMN=TEXT] [--out OUT] CSV [-- …]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("table", type=Path, metavar="CSV", help="of tables.py --runs, or with the same columns")
    add("--draw", type=int, default=3, metavar="N", help="rows (default: 3)")
    add("--seed", type=int, default=0, help="of the draw (default: 0)")
    add("--only", action="append", default=[], metavar="COLUMN=TEXT", help="rows with this entry")
    add("--out", type=Path, help="folder to keep the runs in (default: none is kept)")
    return parser


def drawn(rows: list[dict[str, str]], only: list[str], count: int, seed: int):
    """Return `count` of the rows that have the entries asked for, at random."""
    for text in only:
        column, given, entry = text.partition("=")
        if not given or column not in rows[0]:
            raise InputError(f"--only {text}: expected COLUMN=TEXT, of {', '.join(rows[0])}.")
        rows = [row for row in rows if row[column] == entry]
    if not 1 <= count <= len(rows):
        raise InputError(f"--draw {count}: expected 1 to {len(rows)}, the rows that there are.")
    return random.Random(seed).sample(rows, count)


def train(row: dict[str, str], flags: list[str], out: Path) -> dict[str, str]:
    """Train a row's run in a folder, and return its row, as text."""
    named = {
        "--dataset": row["dataset"],
        "--network": row["network"],
        "--condition": row["condition"],
        "--epochs": row["epochs"],
        "--rate-factors": row["rate_factor"],
        "--seed": row["seed"],
    }
    pairs = [part for pair in named.items() for part in pair]
    command = [sys.executable, str(TRAIN), *pairs, "--threads", "1", "--out", str(out), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"train.py failed: {done.stderr.strip()[-2000:]}")
    (found,) = (
        {name: "" if value is None else str(value) for name, value in each.items()}
        for each in flat.rows(results.read(out))
        if each["schedule"] == row.get("schedule", each["schedule"])
    )
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status: 1 if a number differs."""
    given = sys.argv[1:] if argv is None else argv
    ours = list(itertools.takewhile(lambda text: text != "--", given))
    args, flags, differ = build_parser().parse_args(ours), given[len(ours) + 1 :], 0
    try:
        rows = drawn(flat.read_rows(args.table), args.only, args.draw, args.seed)
        with tempfile.TemporaryDirectory() as scratch:
            for number, row in enumerate(rows):
                found = train(row, flags, (args.out or Path(scratch)) / str(number))
                other = [
                    f"{name} {row[name]}, now {found[name]}"
                    for name in COMPARED
                    if name in row and row[name] != found[name]
                ]
                what = "{dataset}, {network}, {condition}, × {rate_factor}, seed {seed}"
                same = f"the same, {row['best_error']} %"
                print(f"{what.format_map(row)}: {'; '.join(other) or same}", flush=True)
                differ += bool(other)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(console.run(main))
