"""Print the paper's tables with our numbers beside the paper's, and what becomes of its claims.

python scripts/tables.py runs/sweep
python scripts/tables.py runs/sweep --format markdown --claims > results.md
python scripts/tables.py runs/sweep --runs > runs.csv
python scripts/tables.py runs.csv --tables 2
"""

import argparse
import csv
import sys
from pathlib import Path

from minibp import console
from minibp.errors import InputError
from minibp.experiments import flat, results
from minibp.study.claims import judge
from minibp.study.tables import cells, datasets_of, of_table_1, render


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="tables.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("runs", type=Path, metavar="RUNS", help="folder of experiments, or a CSV of --runs")
    add("--format", choices=("text", "markdown", "html", "csv"), default="text")
    add("--tables", nargs="+", default=[], metavar="N", help="2 3 4 5 (default: all)")
    add("--claims", action="store_true", help="also the paper's claims: holds, fails, not enough")
    add("--runs", action="store_true", dest="each", help="instead: every run's score, as CSV")
    return parser


def print_claims(records: list[dict], markdown: bool) -> None:
    """Print the verdict on each claim, with the numbers it used."""
    found = cells(of_table_1(records))
    if markdown:
        print("| data set | claim | source | verdict | numbers |\n|---|---|---|---|---|")
    for verdict in judge(found, datasets_of(found)):
        item = verdict.claim
        if markdown:
            print(
                f"| {verdict.dataset} | {item.name}: {item.text} | {item.source} | "
                f"**{verdict.state}** | {verdict.numbers} |"
            )
        else:
            print(f"{verdict.dataset}: {verdict.state}: {item.name} ({item.source})")
            print(f"    {item.text}\n    {verdict.numbers}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        if args.claims and args.format not in ("text", "markdown"):
            raise InputError(
                f"--claims goes with --format text or markdown, not {args.format}; "
                "scripts/report.py has the claims as HTML."
            )
        table = args.runs.suffix == ".csv" and args.runs.is_file()
        records = (flat.read_csv if table else results.read)(args.runs)
        if args.each:
            writer = csv.DictWriter(sys.stdout, flat.COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(flat.rows(records))
            return 0
        print(render(records, args.format, args.tables))
        if args.claims:
            print_claims(records, args.format == "markdown")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(console.run(main))
