"""The benchmark's form; its numbers are for people to judge."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark.py"
spec = importlib.util.spec_from_file_location("benchmark_script", SCRIPT)
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)


@pytest.fixture
def quick(tmp_path, monkeypatch, capsys):
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is read from /proc")
    monkeypatch.setattr(benchmark, "TURN", 0.0)
    path = tmp_path / "speed.json"
    flags = ["--networks", "timit", "--batch-size", "3", "--seconds", "0.01", "--json", str(path)]
    assert benchmark.main(flags) == 0
    return json.loads(path.read_text()), capsys.readouterr().out


def test_rows_and_table(quick):
    result, out = quick
    assert [(row["bn"], row["bm"]) for row in result["rows"]] == [
        (bn, bm) for bn in (False, True) for bm in (False, True)
    ]
    for row in result["rows"]:
        assert row["network"] == "timit"
        assert row["ours_ms"] > 0
        assert row["torch_ms"] == {}
        assert row["processes"]["minibp"]["peak_mb"] > 0
        assert {"fc1 forward", "fc1 backward", "loss", "update"} <= set(row["parts_ms"])
    assert result["gemm_gflops"] > 0
    assert "timit     BN+BM" in out


def test_the_work_of_a_step_by_hand():
    args = benchmark.build_parser().parse_args(["--kernels", "plain"])
    mnist = benchmark.Ours("mnist", *benchmark.batch_of("mnist", 2), bn=False, bm=False, args=args)
    conv1, conv2 = 2 * 24 * 24 * 25 * 20, 2 * 8 * 8 * 500 * 50
    fc = 2 * (800 * 500 + 500 * 10)
    assert benchmark.step_flop(mnist) == 2 * (2 * conv1 + 3 * conv2 + 3 * fc)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--networks", "minst"], "did you mean 'mnist'"),
        (["--batch-size", "0"], "batch size 0"),
        (["--threads", "0"], "threads 0"),
        (["--feedback", "frfs"], "did you mean 'frSF'"),
    ],
)
def test_bad_input(capsys, flags, message):
    assert benchmark.main(flags) == 2
    assert message in capsys.readouterr().err
