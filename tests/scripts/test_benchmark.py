"""The benchmark's form; its numbers are for people to judge."""

import json
import sys
import time
from types import SimpleNamespace

import benchmark
import pytest
from cpp_device import COMPILER, CppDevice
from dev import benchmark_gpu

from minibp import Condition
from minibp.errors import InputError


@pytest.fixture
def quick(tmp_path, monkeypatch, capsys):
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is read from /proc")
    monkeypatch.setattr(benchmark, "TURN", 0.0)
    monkeypatch.setattr(benchmark, "REST", 0.0)
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
    assert "timit       BN+BM" in out


def test_the_work_of_a_step_by_hand():
    args = benchmark.build_parser().parse_args(["--kernels", "plain"])
    mnist = benchmark.Ours("mnist", *benchmark.batch_of("mnist", 2), Condition(), args)
    conv1, conv2 = 2 * 24 * 24 * 25 * 20, 2 * 8 * 8 * 500 * 50
    fc = 2 * (800 * 500 + 500 * 10)
    assert benchmark.step_flop(mnist.net, mnist.X) == 2 * (2 * conv1 + 3 * conv2 + 3 * fc)


def test_conditions_side_by_side(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "TURN", 0.0)
    monkeypatch.setattr(benchmark, "REST", 0.0)
    path = tmp_path / "speed.json"
    flags = ["--networks", "timit", "--batch-size", "3", "--seconds", "0.01", "--json", str(path)]
    assert benchmark.main([*flags, "--conditions", "RndF+BN", "KP+BN", "DFA+BN+Adam"]) == 0
    rows = json.loads(path.read_text())["conditions"]
    assert [row["condition"] for row in rows] == ["RndF+BN", "KP+BN", "DFA+BN+Adam"]
    assert rows[0]["ratio"] == 1
    assert all(row["ratio"] == row["ms"] / rows[0]["ms"] for row in rows)
    assert all(row["by_hand"] > 0 for row in rows)
    assert "KP+BN" in capsys.readouterr().out
    assert benchmark.main([*flags, "--conditions", "RndFF"]) == 2
    assert "did you mean 'RndF'" in capsys.readouterr().err


def test_several_processes_of_one_thread(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "alone", lambda *_: {"ms": 4.0, "peak_mb": 1})
    path = tmp_path / "speed.json"
    flags = ["--networks", "timit", "--processes", "3", "--json", str(path)]
    assert benchmark.main(flags) == 0
    rows = json.loads(path.read_text())["processes"]
    assert [row["bn"] for row in rows] == [False, True]
    assert all(row["steps_per_s"] == 750 for row in rows)
    assert "3 processes of one thread" in capsys.readouterr().out
    assert benchmark.main(["--processes", "0"]) == 2


class WallClock:
    """In place of CUDA events."""

    def __init__(self, device):
        pass

    def time(self, work, times):
        start = time.perf_counter()
        for _ in range(times):
            work()
        return 1e3 * (time.perf_counter() - start) / times


@pytest.fixture
def on_stand_in(monkeypatch):
    if COMPILER is None:
        pytest.skip("needs a C++ compiler")
    monkeypatch.setattr(benchmark_gpu, "Clock", WallClock)
    for module in (benchmark, benchmark_gpu):
        monkeypatch.setattr(module, "get_device", lambda *_: CppDevice())
    for name, value in {"STEPS": 2, "SIDE": 64, "COPIED": 1 << 12, "BATCHES": 2}.items():
        monkeypatch.setattr(benchmark_gpu, name, value)


def test_the_tables_of_a_gpu(tmp_path, on_stand_in, capsys):
    path = tmp_path / "speed.json"
    flags = ["--device", "cuda", "--networks", "timit", "--batch-size", "3", "--seconds", "0.01"]
    assert benchmark.main([*flags, "--tf32", "--json", str(path)]) == 0
    result, out = json.loads(path.read_text()), capsys.readouterr().out
    assert len(result["rows"]) == 4
    for row in result["rows"]:
        assert row["how"] == "one a step"
        assert set(row["ms"]) == {"minibp", "minibp, launches"}
        assert row["share_of_gemm_ceiling"] > 0
        assert row["share_of_copy_ceiling"] > 0
    plain, _, bn, _ = (row["launches"]["minibp"] for row in result["rows"])
    assert 10 < plain < bn
    assert result["tf32"] is True
    assert "five" in out
    assert "TF32; matrix products reach" in out


def test_what_a_step_on_a_gpu_moves_by_hand(on_stand_in):
    args = benchmark.build_parser().parse_args(["--device", "cuda", "--batch-size", "3"])
    args.clock = WallClock
    work = benchmark_gpu.Ours("timit", False, False, args, CppDevice(), True)
    launches, size, flop = work.counts()
    weights = 1845 * 512 + 512 * 256 + 256 * 80
    assert flop == 2 * 3 * (2 * 1845 * 512 + 3 * (512 * 256 + 256 * 80))
    # Products have W and dW, the update W, dW and the momentum. Where V is used, a product has it,
    # and the update has it and M.
    used = 512 * 256 + 256 * 80
    assert 4 * (5 * weights + 3 * used) < size < 1.05 * 4 * (5 * weights + 3 * used)
    assert launches == work.counts()[0]


def test_what_a_convolution_moves_by_hand(on_stand_in):
    args = benchmark.build_parser().parse_args(["--device", "cuda", "--batch-size", "3"])
    args.clock = WallClock
    _, size, _ = benchmark_gpu.Ours("mnist", False, False, args, CppDevice(), True).counts()
    # The first layer's columns are written once and read by the products for N and dW; the second's
    # as well, and those of dX are written and read.
    columns = 3 * 24 * 24 * 25, 3 * 8 * 8 * 25 * 20
    weights = 25 * 20 + 500 * 50 + 800 * 500 + 500 * 10
    least = 4 * (3 * columns[0] + 5 * columns[1] + 8 * weights)
    assert least < size < 1.4 * least


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--networks", "minst"], "did you mean 'mnist'"),
        (["--batch-size", "0"], "batch size 0"),
        (["--threads", "0"], "threads 0"),
        (["--feedback", "frfs"], "did you mean 'frSF'"),
        (["--tf32"], "--tf32 is for a GPU"),
    ],
)
def test_bad_input(capsys, flags, message):
    assert benchmark.main(flags) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cuda", "words"), [(None, "was made without CUDA"), ("12.9", "finds no usable GPU")]
)
def test_a_pytorch_that_has_no_gpu(cuda, words, monkeypatch):
    torch = SimpleNamespace(
        __version__="2.13.0+cpu",
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(is_available=lambda: False),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(InputError, match=words):
        benchmark.check_torch_sees_the_gpu()
