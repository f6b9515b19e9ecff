"""The README's picture: the error of each rule on MNIST, ours and the paper's.

    python docs/results/overview.py docs/pictures/overview.svg

It reads docs/results/mnist.csv.
"""

import sys
from pathlib import Path

from minibp.experiments import flat
from minibp.study import paper
from minibp.study.conditions import Condition
from minibp.study.overview import overview

RULES = ["BP", "uSF", "frSF", "frSF-50", "frSF-100", "brSF", "brSF-50", "RndF"]
TITLE = "MNIST: ours, 10,000 images and 15 epochs; the paper, 60,000 and 65"


def main() -> None:
    records = flat.read_csv(Path(__file__).with_name("mnist.csv"))
    errors = {Condition.parse(each["condition"]): each["best_error"] for each in records}
    published = {
        condition: error
        for table in paper.tables()
        for condition, error in table.errors["mnist"].items()
    }
    Path(sys.argv[1]).write_bytes(overview(errors, published, TITLE, RULES))


if __name__ == "__main__":
    main()
