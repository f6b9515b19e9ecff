"""scripts/sweep.py, tables.py and report.py from the outside."""

import csv
import importlib.util
import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from minibp.experiments.bracket import beyond
from minibp.study import paper

ROOT = Path(__file__).parents[2]
DATA = "synthetic:mnist,classes=3,train=60,test=30"
SMALL = ["--datasets", DATA, "--epochs", "1", "--kernels", "plain", "--quiet", "--workers", "0"]

FAILS = """
from minibp.feedback import FeedbackRule

class Fails(FeedbackRule):
    def V(self, W):
        if abs(W).max() > 100:
            raise ValueError("no V today")
        return W
"""


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


def test_seeds_from_another_than_the_first(run, tmp_path):
    flags = [*SMALL, "--conditions", "SGD", "--rate-factors", "1", "--first-seed", "3"]
    assert run("sweep", *flags, "--seeds", "2")[0] == 0
    assert sorted({path.name for path in tmp_path.rglob("seed*")}) == ["seed3", "seed4"]


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
    from minibp.experiments import job as module

    def broken(place, *_, **__):
        raise RuntimeError("no room")

    monkeypatch.setattr(module, "do_trial", broken)
    status, out, err = run("sweep", *SMALL, "--conditions", "SGD", "--rate-factors", "1")
    assert status == 1
    assert "0 of 1 runs done, 1 failed" in out
    assert "RuntimeError: no room" in err
    (note,) = tmp_path.rglob("error.json")
    assert "no room" in json.loads(note.read_text())["error"]


def test_a_network_that_fits_none_of_the_runs_is_told_before_any(run, tmp_path):
    (tmp_path / "net.py").write_text("def f(net, classes):\n    net.output(classes + 1)\n")
    flags = [*SMALL, "--network", "net.py:f", "--conditions", "SGD", "BN", "--rate-factors", "1"]
    status, out, err = run("sweep", *flags)
    assert (status, out, err.count("expected (3,)")) == (2, "", 1)
    assert not (tmp_path / "runs").exists()
    _, out, err = run("sweep", *flags, "--dry-run")
    assert err.count("cannot be run") == 1


def test_weights_that_were_not_kept_are_told(run):
    flags = [*SMALL, "--conditions", "SGD", "--rate-factors", "1"]
    assert run("sweep", *flags)[2] == ""
    _, _, err = run("sweep", *flags, "--keep-weights")
    assert "the weights of 1 run were not kept" in err


def test_a_folders_images_are_brought_to_the_networks_size(run, tmp_path):
    from PIL import Image

    for part, count in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for k in range(count):
                Image.new("RGB", (40, 36)).save(tmp_path / "pets" / part / name / f"{k}.png")
    flags = ["--datasets", "folder:pets", "--network", "svhn", "--conditions", "BN"]
    flags += ["--epochs", "1", "--rate-factors", "1", "--batch-size", "4", "--workers", "0"]
    status, out, err = run("sweep", *flags, "--quiet")
    assert (status, out[:14]) == (0, "1 of 1 runs do"), err


def save(path, shift=0):
    path.parent.mkdir(exist_ok=True)
    y = np.arange(60) % 3
    X = np.random.default_rng(shift).integers(0, 256, (60, 28, 28, 1), np.uint8)
    np.savez(path, X=X, y=y)
    return f"npz:{path.name}"


OWN = [*SMALL[2:], "--rate-factors", "1", "--conditions"]
RULE = "from minibp.feedback import FeedbackRule\n\nclass R(FeedbackRule):\n    def V(self, W): "


def test_two_data_sets_and_two_rules_of_nearly_one_name_are_four_experiments(run, tmp_path):
    save(tmp_path / "a" / "b.npz"), save(tmp_path / "a_b.npz", shift=1)
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "one.py").write_text(RULE + "return W")
    (tmp_path / "q_one.py").write_text(RULE + "return -W")
    flags = [*OWN, "q/one.py:R", "q_one.py:R", "--datasets", "npz:a/b.npz", "npz:a_b.npz"]
    assert run("sweep", *flags)[1].startswith("4 of 4 runs done, 0 failed")
    assert len(list((tmp_path / "runs").rglob("rate-1/run.json"))) == 4
    (tmp_path / "q_one.py").unlink()  # results can be read without it
    assert len(run("tables", "runs/sweep", "--runs")[1].splitlines()) == 5
    for name in ("tables", "report"):
        assert run(name, "runs/sweep")[0] == 0


def test_changed_data_is_not_taken_for_what_was_run(run, tmp_path):
    name = save(tmp_path / "d.npz")
    run("sweep", *OWN, "SGD", "--datasets", name)
    save(tmp_path / "d.npz", shift=1)
    status, out, err = run("sweep", *OWN, "SGD", "BN", "--datasets", name)
    assert (status, out) == (2, "")
    assert "holds another experiment: data_sha256 was" in err
    assert len(list((tmp_path / "runs").rglob("rate-1/run.json"))) == 1


def test_tables_and_report_do_not_mix_data(run, tmp_path):
    for shift, head in enumerate(("SGD", "BN")):
        name = save(tmp_path / "d.npz", shift)
        run("sweep", *OWN, head, "--datasets", name, "--out", f"runs/{head}")
    for script_name in ("tables", "report"):
        status, _, err = run(script_name, "runs")
        assert status == 2
        assert "different data of one name" in err


def test_an_edited_rule_is_not_taken_for_what_was_run_and_a_moved_one_is(run, tmp_path):
    name, rule = save(tmp_path / "d.npz"), tmp_path / "rule.py"
    rule.write_text(RULE + "return +W")
    run("sweep", *OWN, "rule.py:R", "--datasets", name)
    rule.rename(tmp_path / "moved.py")
    out = run("sweep", *OWN, "moved.py:R", "--datasets", name)[1]
    assert out.startswith("1 of 1 runs done, 0 failed; 0 seconds")
    assert len(list((tmp_path / "runs").rglob("rate-1/run.json"))) == 1
    rule.write_text(RULE + "return -W")
    status, _, err = run("sweep", *OWN, "rule.py:R", "--datasets", name)
    assert status == 2
    assert "the rule's text was rule.py of SHA-256" in err


def test_one_faulty_rule_does_not_end_a_sweep(run, tmp_path):
    name = save(tmp_path / "d.npz")
    (tmp_path / "rule.py").write_text(RULE + "pass")
    status, out, err = run("sweep", *OWN, "rule.py:R", "SGD", "--datasets", name)
    assert status == 1
    assert out.startswith("1 of 2 runs done, 1 failed")
    assert "rule rule.py:R, layer 'conv1': V returned None" in err


@pytest.mark.parametrize("name", ["rate-1/run.json", "run.json"])
def test_a_cut_record_is_made_anew(run, tmp_path, name):
    flags = [*OWN, "SGD", "--datasets", save(tmp_path / "d.npz")]
    run("sweep", *flags)
    (path,) = (tmp_path / "runs").rglob(f"seed0/{name}")
    path.write_bytes(path.read_bytes()[:200])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        _, out, err = run("sweep", *flags)
    assert out.startswith("1 of 1 runs done, 0 failed")
    assert str(path) in " ".join([err, *(str(warning.message) for warning in told)])
    assert json.loads(path.read_text())


@pytest.mark.parametrize("text", ["null", "[]", '{"condition": "SGD"}', "{", ""])
def test_a_foreign_record_is_named_and_left_out(run, tmp_path, text):
    run("sweep", *OWN, "SGD", "--datasets", save(tmp_path / "d.npz"))
    foreign = tmp_path / "runs" / "of_another" / "run.json"
    foreign.parent.mkdir()
    foreign.write_text(text)
    for flags in (("tables", "runs", "--runs"), ("report", "runs")):
        with pytest.warns(UserWarning, match=r"left out: .*of_another/run.json"):
            status, *_ = run(*flags)
        assert status == 0


BAD = {
    "no address": (["--datasets", DATA, "--scheduler", "foo"], "expected tcp://HOST:PORT"),
    "unknown table": (["--tables", "6"], "unknown table '6'"),
    "unknown condition": (["--conditions", "frfs"], "did you mean 'frSF'"),
    "unknown data set": (["--datasets", "minst"], "did you mean 'mnist'"),
    "no seeds": (["--seeds", "0"], "--seeds 0"),
    "no seed": (["--first-seed", "-1"], "--first-seed -1: expected 0 or more"),
    "a place for nothing": (["--data-dir", "mnist=/x"], "expected NAME=PATH"),
    "a place without a name": (["--data-dir", "/x"], "expected NAME=PATH"),
    "bad setting": (["--set", "x=1"], "unknown setting 'x'"),
    "no scheduler": (["--datasets", DATA, "--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(run, name, monkeypatch):
    monkeypatch.setattr("minibp.experiments.workers.ANSWER", 1)
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


def test_a_record_that_is_not_this_runs_is_not_taken(run, tmp_path):
    """Without what says which experiment a folder holds, the runs' own records are asked."""
    data = save(tmp_path / "d.npz")
    run("sweep", *OWN, "SGD", "--datasets", data)
    (place,) = (tmp_path / "runs").rglob("seed0")
    for name in ("run.json", "experiment.json"):
        (place / name).unlink()
    status, out, err = run("sweep", *OWN, "SGD", "--datasets", data, "--epochs", "2")
    assert status == 1
    assert "is another run's: epochs was 1, now 2" in err
    status, out, _ = run("sweep", *OWN, "SGD", "--datasets", data)
    assert (status, out[:15]) == (0, "1 of 1 runs don")
    assert json.loads((place / "run.json").read_text())["finished"]


def test_damage_in_the_middle_of_a_record_is_mended(run, tmp_path):
    data = save(tmp_path / "d.npz")
    run("sweep", *OWN, "SGD", "--datasets", data)
    (path,) = (tmp_path / "runs").rglob("rate-*/run.json")
    whole = path.read_text()
    path.write_text(whole[:50] + "?" + whole[51:])
    path.parent.with_name("run.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, _, err = run("sweep", *OWN, "SGD", "--datasets", data)
    assert status == 0
    assert "is no record of a run" in err
    assert json.loads(path.read_text())["best_error"] == json.loads(whole)["best_error"]


def test_one_foreign_record_does_not_end_a_sweep(run, tmp_path):
    data = save(tmp_path / "d.npz")
    two = ("--rate-factors", "1", "0.1")
    run("sweep", *OWN, "SGD", "--datasets", data, *two)
    (place,) = (tmp_path / "runs").rglob("seed0")
    (place / "rate-0.1" / "run.json").write_text((place / "rate-1" / "run.json").read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, out, err = run("sweep", *OWN, "SGD", "uSF", "--datasets", data, *two)
    assert status == 1
    assert out.startswith("3 of 4 runs done, 1 failed")
    assert "rate-0.1/run.json is another run's" in err


def test_other_data_is_refused_for_further_conditions_too(run, tmp_path):
    run("sweep", *OWN, "SGD", "--datasets", save(tmp_path / "d.npz"))
    save(tmp_path / "d.npz", shift=1)
    status, _, err = run("sweep", *OWN, "uSF", "--datasets", "npz:d.npz")
    assert status == 2
    assert "holds another experiment: data_sha256 was" in err


@pytest.mark.parametrize(
    "text",
    [
        '{"settings": 3}',
        '{"settings": {}, "files": 3}',
        "[]",
    ],
)
def test_a_record_that_is_json_but_no_record(run, tmp_path, text):
    data = save(tmp_path / "d.npz")
    run("sweep", *OWN, "SGD", "--datasets", data)
    (place,) = (tmp_path / "runs").rglob("seed0")
    (place / "run.json").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, _, err = run("sweep", *OWN, "SGD", "--datasets", data)
    assert status == 0
    assert "run.json is no record" in err
    assert json.loads((place / "run.json").read_text())["finished"]


@pytest.mark.parametrize("owner", ["null", "3"])
def test_a_runs_record_that_is_json_but_no_record(run, tmp_path, owner):
    data = save(tmp_path / "d.npz")
    run("sweep", *OWN, "SGD", "--datasets", data)
    (path,) = (tmp_path / "runs").rglob("rate-*/run.json")
    path.write_text(f'{{"factor": 1, "batch_schedule": "100", "owner": {owner}\n}}\n')
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, _, err = run("sweep", *OWN, "SGD", "--datasets", data)
    assert status == 0
    assert "is no record of a run" in err
    assert json.loads(path.read_text())["history"]


def test_rates_are_added_until_the_best_is_inside(run, tmp_path):
    flags = [*SMALL, "--conditions", "SGD", "BN", "--rate-factors", "1", "--bracket"]
    status, out, err = run("sweep", *flags)
    assert (status, err) == (0, "")
    records = [
        json.loads(path.read_text())
        for path in (tmp_path / "runs/sweep").glob("*/*/seed0/run.json")
    ]
    assert len(records) == 2
    for record in records:
        assert len(record["rates"]) >= 3
        assert beyond(record, 1) == []
    runs = sum(len(record["rates"]) for record in records)
    assert out.startswith(f"{runs} of {runs} runs done, 0 failed; ")
    assert run("sweep", *flags)[1].startswith("2 of 2 runs done, 0 failed; 0 seconds")

    status, _, err = run("sweep", *flags, "0")
    assert status == 2
    assert "--bracket 0: expected 1 or more" in err


def test_failed_runs_are_not_tried_again_beside(run, tmp_path):
    """Else a rate that fails would be the edge for ever."""
    (tmp_path / "mine.py").write_text(FAILS)
    flags = [*SMALL, "--conditions", "mine.py:Fails", "--rate-factors", "1e9", "--bracket"]
    status, out, err = run("sweep", *flags)
    assert (status, out[:27]) == (1, "0 of 1 runs done, 1 failed;")
    assert "no V today" in err
