"""Write one page for a whole sweep: tables, claims, learning curves, and where each number is from.

python scripts/report.py runs/sweep -o report.html
"""

import argparse
import sys
from pathlib import Path

from minibp import console
from minibp.errors import InputError
from minibp.experiments import results
from minibp.files import write_atomically
from minibp.study.report import report


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="report.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("runs", type=Path, metavar="RUNS", help="folder of a sweep, or of any experiments")
    add("-o", "--output", type=Path, default=Path("report.html"), help="(default: report.html)")
    add("--title", default="minibp: how important is weight symmetry in backpropagation?")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        page = report(results.read(args.runs), args.title).encode()
        write_atomically(args.output, page)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.output}: {len(page) / 1e6:.2g} MB")
    return 0


if __name__ == "__main__":
    sys.exit(console.run(main))
