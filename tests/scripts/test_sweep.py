"""scripts/sweep.py, tables.py and report.py from the outside."""

import csv
import importlib.util
import io
import json
from pathlib import Path

import pytest

from minibp import paper

ROOT = Path(__file__).parents[2]
DATA = "synthetic:mnist,classes=3,train=60,test=30"
SMALL = ["--datasets", DATA, "--epochs", "1", "--kernels", "plain", "--quiet", "--workers", "0"]


def script(name):
    spec = importlib.util.spec_from_file_location(f"{name}_script", ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(name, *words):
        status = script(name).main([*map(str, words)])
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_a_sweep_its_tables_and_its_report(run, tmp_path):
    flags = [*SMALL, "--conditions", "SGD", "BN+BM", "--rate-factors", "1", "0.1", "--seeds", "2"]
    status, out, err = run("sweep", *flags)
    assert (status, err) == (0, "")
    assert out.startswith("8 of 8 runs done, 0 failed; ")
    assert run("sweep", *flags)[1].startswith("8 of 8 runs done, 0 failed; 0 seconds")

    status, out, err = run("tables", "runs/sweep", "--claims")
    assert (status, err) == (0, "")
    assert "Table 2, Experiment A" in out
    assert "±" in out
    assert "not enough runs: magnitudes of V" in out
    status, out, _ = run("tables", "runs/sweep", "--runs")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 8
    assert {row["condition"] for row in rows} == {"SGD", "BN+BM"}
    assert {row["seed"] for row in rows} == {"0", "1"}
    for form in ("markdown", "html", "csv"):
        assert run("tables", "runs/sweep", "--format", form, "--tables", "2", "5")[0] == 0
    status, out, err = run("tables", "runs/sweep", "--format", "csv", "--claims")
    assert (status, out) == (2, "")
    assert "--claims goes with --format text or markdown" in err

    status, out, _ = run("report", "runs/sweep", "-o", "r.html")
    assert status == 0
    assert out.startswith("r.html: ")
    assert "BN+BM" in (tmp_path / "r.html").read_text()


def test_more_seeds_and_rates_are_added_to_what_is_there(run, tmp_path):
    run("sweep", *SMALL, "--conditions", "SGD", "--rate-factors", "1")
    (first,) = tmp_path.rglob("rate-1/run.json")
    before = first.stat().st_mtime_ns
    out = run("sweep", *SMALL, "--conditions", "SGD", "--rate-factors", "1", "--seeds", "2")[1]
    assert out.startswith("2 of 2")
    assert first.stat().st_mtime_ns == before


def test_other_settings_need_another_folder(run):
    run("sweep", *SMALL, "--conditions", "SGD", "--rate-factors", "1")
    status, _, err = run(
        "sweep", *SMALL, "--conditions", "SGD", "--rate-factors", "1", "--holdout", "0.2"
    )
    assert status == 2
    assert "holdout was None, now 0.2" in err


def test_a_dry_run_says_what_and_how_long(run, tmp_path):
    status, out, _ = run("sweep", "--datasets", DATA, "--tables", "2", "--dry-run")
    assert status == 0
    assert len([line for line in out.splitlines() if "seed 0" in line]) == 11 * 5 + 5
    assert "60 runs left of 60; about " in out
    assert not (tmp_path / "runs").exists()


def test_all_of_the_papers_conditions_by_default(run):
    sweep = script("sweep")
    args = sweep.build_parser().parse_args([])
    assert sweep.conditions_of(args) == paper.conditions()
    assert [source.name for source in sweep.sources_of(args)] == ["digits"]


def test_a_failed_run_is_told_at_the_end(run, tmp_path, monkeypatch):
    from minibp import sweep as module

    def broken(place, *_, **__):
        raise RuntimeError("no room")

    monkeypatch.setattr(module, "do_run", broken)
    status, out, err = run("sweep", *SMALL, "--conditions", "SGD", "--rate-factors", "1")
    assert status == 1
    assert "0 of 1 runs done, 1 failed" in out
    assert "RuntimeError: no room" in err
    (note,) = tmp_path.rglob("error.json")
    assert "no room" in json.loads(note.read_text())["error"]


BAD = {
    "unknown table": (["--tables", "6"], "unknown table '6'"),
    "unknown condition": (["--conditions", "frfs"], "did you mean 'frSF'"),
    "unknown data set": (["--datasets", "minst"], "did you mean 'mnist'"),
    "no seeds": (["--seeds", "0"], "--seeds 0"),
    "a place for nothing": (["--data-dir", "mnist=/x"], "expected NAME=PATH"),
    "a place without a name": (["--data-dir", "/x"], "expected NAME=PATH"),
    "bad setting": (["--set", "x=1"], "unknown setting 'x'"),
    "no scheduler": (["--datasets", DATA, "--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(run, name, monkeypatch):
    monkeypatch.setattr("minibp.workers.ANSWER", 1)
    flags, message = BAD[name]
    status, out, err = run("sweep", *flags)
    assert status == 2
    assert message in err
    assert out == ""


def test_folders_without_experiments(run, tmp_path):
    for name in ("tables", "report"):
        status, _, err = run(name, tmp_path)
        assert status == 2
        assert "holds no experiments" in err
