"""The comparisons of two tiers run through; their numbers are for people to judge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/dev/compare_kernels.py"


def run(tmp_path, *flags):
    pytest.importorskip("numba")
    path = tmp_path / "rows.json"
    command = [sys.executable, SCRIPT, *flags, "--json", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


def test_gradients_of_a_network_of_the_field(tmp_path):
    flags = ("--networks", "timit", "lenet-cifar", "--batch-size", "2", "--seeds", "2")
    rows = run(tmp_path, "gradients", *flags)
    assert [row["network"] for row in rows] == ["timit"] * 6 + ["lenet-cifar"] * 6
    # With BN a batch of two is badly conditioned.
    assert all(0 < row["as decided error"] < 1e-3 for row in rows)


def test_steps_on_one_device_are_the_same(tmp_path):
    flags = ("--steps", "3", "--batch-size", "10", "--dtype", "float64", "--condition", "SGD")
    rows = run(tmp_path, "steps", *flags)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["difference"] < 1e-9 for row in rows)
