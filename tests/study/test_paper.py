import csv
from pathlib import Path

import pytest

from minibp.errors import InputError
from minibp.study import paper
from minibp.study.conditions import Condition

SHARED = Path(__file__).parents[3] / "shared" / "paper" / "tables"


def test_the_grid():
    assert len(paper.conditions()) == 35
    counts = {
        table.name: sum(len(row) for row in table.errors.values()) for table in paper.tables()
    }
    assert counts == {"2": 15 * 11, "3": 15 * 11, "4c1": 15 * 8, "4c2": 15 * 8, "5": 6 * 8}
    cells = {
        (dataset, condition)
        for table in paper.tables()
        for dataset, row in table.errors.items()
        for condition in row
    }
    assert len(cells) == 489


def test_a_condition_has_the_same_number_in_every_table():
    for dataset in paper.DATASETS.values():
        for condition in paper.conditions():
            numbers = {
                table.errors[dataset][condition]
                for table in paper.tables()
                if condition in table.errors.get(dataset, {})
            }
            assert len(numbers) <= 1
            assert paper.published(dataset, condition) in (numbers or {None})


def test_some_numbers():
    assert paper.published("mnist", Condition.parse("uSF")) == 88.65
    assert paper.published("timit80", Condition.parse("uSF+BN+BM Top")) == 40.16
    assert paper.published("caltech101", Condition.parse("uSF+BN+BM3")) == 62.59
    assert paper.published("digits", Condition()) is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the tables beside the project")
def test_the_numbers_are_those_of_the_tables():
    files = {path.name.partition("_")[0]: path for path in SHARED.glob("table[235]*.csv")}
    for table in paper.tables("2", "3", "5"):
        with open(files[f"table{table.name}"], newline="") as file:
            (_, *heads), *rows = csv.reader(file)
        assert table.heads == tuple(heads)
        for dataset, *values in rows:
            assert list(table.errors[paper.DATASETS[dataset]].values()) == list(map(float, values))


def test_unknown_tables():
    with pytest.raises(InputError, match="unknown table '6'"):
        paper.tables("6")
