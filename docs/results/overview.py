"""The README's picture: the error of each rule on MNIST, ours and the paper's.

    python docs/results/overview.py docs/pictures/overview.svg

It reads docs/results/mnist.csv.
"""

import csv
import sys
from pathlib import Path

from minibp.study import paper
from minibp.study.conditions import Condition
from minibp.study.overview import overview

GRID = "10000 x 15"
RULES = ["BP", "uSF", "frSF", "frSF-50", "frSF-100", "brSF", "brSF-50", "RndF"]
TITLE = "MNIST: ours, 10,000 images and 15 epochs; the paper, 60,000 and 65"


def main() -> None:
    with open(Path(__file__).with_name("mnist.csv"), encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["grid"] == GRID]
    errors: dict[Condition, float] = {}
    for row in rows:
        condition, error = Condition.parse(row["condition"]), float(row["best_error"])
        errors[condition] = min(error, errors.get(condition, error))
    published = {
        condition: error
        for table in paper.tables()
        for condition, error in table.errors["mnist"].items()
    }
    Path(sys.argv[1]).write_bytes(overview(errors, published, TITLE, RULES))


if __name__ == "__main__":
    main()
