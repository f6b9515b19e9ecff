"""scripts/compare.py: two runs, block by block."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from minibp.study.trained import load

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import compare
import train

QUICK = "--rate-factors 1 --epochs 1 --batch-size 20 --threads 1 --quiet".split()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, head in (("bp", "BN"), ("dfa", "DFA+BN")):
        data = "synthetic:mnist,classes=3,train=100,test=40"
        arguments = ["--dataset", data, "--condition", head, *QUICK, "--out", str(folder / name)]
        assert train.main(arguments) == 0
    return folder


def test_two_runs(runs, tmp_path, capsys):
    table, picture = tmp_path / "cka.csv", tmp_path / "cka.png"
    words = [runs / "bp", runs / "dfa", "--csv", table, "--picture", picture]
    capsys.readouterr()
    assert compare.main(list(map(str, words))) == 0
    out = capsys.readouterr().out
    assert "linear CKA of 40 test samples of synthetic:mnist" in out
    assert "lines:   BN, seed 0, epoch 1" in out
    rows = list(csv.reader(table.read_text().splitlines()))
    names = ["conv1", "conv2", "fc3", "fc4"]
    assert rows[0] == ["block", *names]
    assert [row[0] for row in rows[1:]] == names
    assert all(0 <= float(value) <= 1 + 1e-9 for row in rows[1:] for value in row[1:])
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_run_and_itself(runs, capsys):
    capsys.readouterr()
    assert compare.main([str(runs / "bp"), str(runs / "bp"), "--samples", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    values = [line.split()[1:] for line in lines if line.startswith(("conv", "fc"))]
    assert [row[k] for k, row in enumerate(values)] == ["1.000"] * 4
    assert "the same class: 100.00 %" in lines[-1]


def test_blocks_are_what_the_network_computes(runs):
    trained = load(runs / "bp")
    X = np.random.default_rng(0).integers(0, 256, (130, 28, 28, 1)).astype(np.uint8)
    blocks = trained.blocks(X)  # in more than one batch
    assert list(blocks) == ["conv1", "conv2", "fc3", "fc4"]
    assert all(len(A) == 130 for A in blocks.values())
    np.testing.assert_allclose(blocks["fc4"], trained.outputs(X), rtol=1e-4, atol=1e-5)
    assert blocks["conv1"].min() == 0  # after its ReLU


def test_other_data_is_told(runs, tmp_path, capsys):
    data = "synthetic:mnist,classes=4,train=100,test=40"
    assert train.main(["--dataset", data, *QUICK, "--out", str(tmp_path / "other")]) == 0
    capsys.readouterr()
    assert compare.main([str(runs / "bp"), str(tmp_path / "other")]) == 2
    assert "the runs are of different data" in capsys.readouterr().err
    assert compare.main([str(runs / "bp"), str(runs / "bp"), "--samples", "1"]) == 2
    assert "--samples 1: expected 2 or more" in capsys.readouterr().err
