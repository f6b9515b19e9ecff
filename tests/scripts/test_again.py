"""A table's rows, trained again: what is the same, what is not, and what cannot be."""

import csv
import re

import pytest
import tables
import train
from dev import again

DATA = "synthetic:mnist,classes=3,train=60,test=30"
FLAGS = ["--set", "init=he"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table of two runs, at two rates."""
    folder = tmp_path_factory.mktemp("runs")
    given = ["--dataset", DATA, "--condition", "frSF+BN", "--rate-factors", "10", "1", *FLAGS]
    how = ["--epochs", "2", "--threads", "1", "--quiet", "--out", str(folder / "a")]
    assert train.main([*given, *how]) == 0
    return folder


@pytest.fixture
def rows(table, tmp_path, capsys):
    capsys.readouterr()
    assert tables.main([str(table), "--runs"]) == 0
    path = tmp_path / "runs.csv"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


def test_the_same_settings_give_the_same_numbers(rows, capsys, tmp_path):
    out = tmp_path / "again"
    assert again.main([str(rows), "--draw", "2", "--out", str(out), "--", *FLAGS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("the same" in line for line in lines)
    assert len(list(out.rglob("run.json"))) == 2 + 2  # of each experiment, and its run


def test_another_number_is_found(rows, capsys):
    with open(rows, encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    for row in found:
        row["best_error"] = str(float(row["best_error"]) + 0.5)
    with open(rows, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)
    flags = ["--draw", "1", "--only", "rate_factor=10.0"]
    assert again.main([str(rows), *flags, "--", *FLAGS]) == 1
    said = capsys.readouterr().out
    assert "× 10.0" in said
    assert f"best_error {found[0]['best_error']}, now" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--draw", "3"], "expected 1 to 2"),
        (["--only", "rate=1"], "--only rate=1: expected COLUMN=TEXT"),
        (["--draw", "1", "--", "--set", "init=nonsense"], "train.py failed: .*nonsense"),
    ],
)
def test_what_cannot_be_done(rows, flags, message, capsys):
    assert again.main([str(rows), *flags]) == 2
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))
