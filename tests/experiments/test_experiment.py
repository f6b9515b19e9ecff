import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minibp import Condition, Settings, get_device
from minibp.errors import InputError
from minibp.experiments import results
from minibp.experiments.identity import differences
from minibp.experiments.sweep import run_experiment
from minibp.experiments.trial import Listener
from minibp.files import read_json, write_json
from minibp.study.recipe import paper_experiment
from minibp.training import checkpoint
from minibp.training.data import Data
from minibp.training.run import Run


@pytest.fixture(scope="session")
def toy():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = rng.integers(0, 100, (60, 28, 28, 1)) + 70 * y[:, None, None, None]
    X = X.astype("uint8")
    return Data("toy", X[:40], y[:40], X[40:], y[40:], classes=3, network="mnist")


def experiment(head="frSF+BN+BM", **changes):
    given = {"epochs": 2, "batch_size": 20, "rate_factors": (1, 0.1)} | changes
    given = {"settings": Settings(bn_batches=2)} | given
    return paper_experiment("toy", "mnist", Condition.parse(head), **given)


def test_the_folder_and_the_record(toy, tmp_path):
    record = run_experiment(experiment(), toy, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "curves.png",
        "experiment.json",
        "preparation.h5",
        "rate-0.1",
        "rate-1",
        "run.json",
    ]
    assert sorted(path.name for path in (tmp_path / "out" / "rate-1").iterdir()) == [
        "best.h5",
        "checkpoint-previous.h5",
        "checkpoint.h5",
        "history.jsonl",
        "lock",
        "run.json",
    ]
    written = read_json(tmp_path / "out" / "run.json")
    assert written == json.loads(json.dumps(record))
    assert written["finished"] is True
    assert {"dataset", "condition", "seed", "settings", "versions", "data_sha256"} <= set(written)
    assert written["condition"] == "frSF+BN+BM"
    assert written["settings"]["bn_batches"] == 2
    assert written["settings"]["rate_drops"] == [2, 2]
    assert written["data_sha256"] == toy.sha256
    assert [rate["factor"] for rate in written["rates"]] == [1, 0.1]
    errors = [row["error"] for rate in written["rates"] for row in rate["history"]]
    assert written["best_error"] == min(errors)
    assert written["honest_error"] is None
    for rate in written["rates"]:
        assert {"factor", "batch_schedule", "best_error", "best_epoch", "diverged_epoch"} <= set(
            rate
        )
    png = (tmp_path / "out" / "curves.png").read_bytes()
    assert png.startswith(b"\x89PNG")


def test_usf_bm_runs_both_batch_schedules(toy, tmp_path):
    record = run_experiment(experiment("uSF+BM", rate_factors=[0.01]), toy, tmp_path / "out")
    assert [rate["batch_schedule"] for rate in record["rates"]] == [
        "20",
        "20 for 3 epochs, then 100",
    ]
    assert (tmp_path / "out" / "rate-0.01-schedule2" / "run.json").exists()


def test_a_diverging_experiment_is_a_result(toy, tmp_path, recwarn):
    record = run_experiment(experiment("SGD", rate_factors=[1e9]), toy, tmp_path / "out")
    assert record["rates"][0]["diverged_epoch"] == 1
    assert record["best_error"] == pytest.approx(100 * 14 / 20)  # of y_test's 20, 6 have label 0
    assert not recwarn.list


def test_the_honest_score(toy, tmp_path):
    record = run_experiment(experiment(holdout=0.25, epochs=3), toy, tmp_path / "out")
    rows = [
        (row["holdout_error"], row["error"]) for rate in record["rates"] for row in rate["history"]
    ]
    chosen = min(rows, key=lambda row: row[0])
    assert record["honest_error"] == chosen[1]
    sizes = {"train": 30, "test": 20, "holdout": 10, "classes": 3}
    assert record["data"] == sizes | {"shape": [28, 28, 1], "class_names": [], "note": ""}
    assert record["data_sha256"] == toy.sha256


def rate(factor, *rows, **more):
    history = [
        {"epoch": k + 1, "error": error, "holdout_error": held}
        for k, (error, held) in enumerate(rows)
    ]
    return {"factor": factor, "history": history} | more


def test_scores_by_hand():
    rates = [rate(1, (9, 5), (4, 3)), rate(0.1, (4, 2), (3, 2), (3, 8))]
    assert results.score(rates) == {
        "best_error": 3,
        "best_factor": 0.1,
        "best_epoch": 2,
        "honest_error": 4,
        "honest_factor": 0.1,
        "honest_epoch": 1,
    }
    assert results.score([])["best_error"] is None


class Cut(Listener):
    """Raises KeyboardInterrupt in some step, as Ctrl-C does."""

    def __init__(self, after):
        self.left = after

    def step(self, loss):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def comparable(record):
    rates = [
        {k: v for k, v in rate.items() if k != "history"}
        | {"history": [{k: v for k, v in row.items() if k != "seconds"} for row in rate["history"]]}
        for rate in record["rates"]
    ]
    return {k: v for k, v in record.items() if k != "rates"} | {"rates": rates}


@pytest.mark.parametrize("after", [1, 3, 4, 7])
def test_resuming_after_ctrl_c(toy, tmp_path, after):
    whole = run_experiment(experiment("brSF-25+BN+BM"), toy, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment("brSF-25+BN+BM"), toy, tmp_path / "cut", listener=Cut(after))
    assert read_json(tmp_path / "cut" / "run.json")["finished"] is False
    record = run_experiment(experiment("brSF-25+BN+BM"), toy, tmp_path / "cut", resume=True)
    assert comparable(record) == comparable(whole)
    for name in ("rate-1", "rate-0.1"):
        a, _ = checkpoint.load(tmp_path / "whole" / name / "checkpoint.h5")
        b, _ = checkpoint.load(tmp_path / "cut" / name / "checkpoint.h5")
        assert sorted(a) == sorted(b)
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_a_full_disk_loses_no_more_than_the_epoch(toy, tmp_path, monkeypatch):
    whole = run_experiment(experiment(), toy, tmp_path / "whole")
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        run_experiment(experiment(), toy, tmp_path / "cut")
    monkeypatch.undo()
    record = run_experiment(experiment(), toy, tmp_path / "cut", resume=True)
    assert comparable(record) == comparable(whole)


def test_a_damaged_checkpoint_costs_an_epoch_not_the_run(toy, tmp_path):
    whole = run_experiment(experiment(epochs=3), toy, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment(epochs=3), toy, tmp_path / "cut", listener=Cut(5))
    path = tmp_path / "cut" / "rate-1" / "checkpoint.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"rate-1/checkpoint\.h5 is damaged"):
        record = run_experiment(experiment(epochs=3), toy, tmp_path / "cut", resume=True)
    assert comparable(record) == comparable(whole)


def test_finished_runs_are_not_run_again(toy, tmp_path):
    first = run_experiment(experiment(), toy, tmp_path / "out")
    again = run_experiment(experiment(), toy, tmp_path / "out", resume=True, listener=Cut(1))
    assert again == json.loads(json.dumps(first))  # to the second


def test_another_experiments_folder_is_refused(toy, tmp_path):
    run_experiment(experiment(rate_factors=[1], epochs=1), toy, tmp_path / "out")
    with pytest.raises(InputError, match="epochs was 1, now 2"):
        run_experiment(experiment(rate_factors=[1]), toy, tmp_path / "out", resume=True)
    with pytest.raises(InputError, match=r"condition was .*, now 'BN'"):
        run_experiment(experiment("BN", rate_factors=[1], epochs=1), toy, tmp_path / "out")
    with pytest.raises(InputError, match="go on with --resume"):
        run_experiment(experiment(rate_factors=[1], epochs=1), toy, tmp_path / "out")


def test_folders_with_other_things_are_refused(toy, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds other files"):
        run_experiment(experiment(), toy, tmp_path)
    with pytest.raises(InputError, match="is a file"):
        run_experiment(experiment(), toy, tmp_path / "thesis.tex")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"not valid JSON.*--resume goes on"):
        run_experiment(experiment(), toy, tmp_path / "run")


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_damaged_record_is_written_anew_from_the_runs_own(toy, tmp_path, text):
    whole = run_experiment(experiment(), toy, tmp_path)
    path = tmp_path / "run.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(InputError, match="--resume"):
        run_experiment(experiment(), toy, tmp_path)
    with contextlib.nullcontext() if text is None else pytest.warns(UserWarning, match="anew"):
        record = run_experiment(experiment(), toy, tmp_path, resume=True, listener=Cut(1))
    assert record == json.loads(json.dumps(whole))
    assert read_json(path) == record


def test_a_damaged_record_of_a_run_is_made_anew_from_its_checkpoint(toy, tmp_path):
    whole = run_experiment(experiment(), toy, tmp_path)
    (tmp_path / "rate-1" / "run.json").write_text("{")
    with pytest.warns(UserWarning, match="rate-1/run.json is no record of a run"):
        record = run_experiment(experiment(), toy, tmp_path, resume=True, listener=Cut(1))
    assert comparable(record) == json.loads(json.dumps(comparable(whole)))


@pytest.mark.parametrize("name", ["checkpoint.h5", "run.json"])
def test_what_another_rate_left_is_not_gone_on_with(toy, tmp_path, name):
    run_experiment(experiment(), toy, tmp_path)
    for place in ("rate-0.1/run.json", "rate-1/run.json")[: 1 + (name == "run.json")]:
        (tmp_path / place).rename(tmp_path / "rate-0.1" / "kept.json")
    if name == "run.json":
        (tmp_path / "rate-0.1" / "kept.json").rename(tmp_path / "rate-0.1" / "run.json")
    else:
        (tmp_path / "rate-1" / name).replace(tmp_path / "rate-0.1" / name)
    with pytest.raises(InputError, match=rf"{name} is another run's: rate_factor was 1.0, now 0.1"):
        run_experiment(experiment(), toy, tmp_path, resume=True)


def test_the_state_of_another_network_is_an_error(toy, tmp_path):
    run_experiment(experiment(rate_factors=[1]), toy, tmp_path)
    arrays, meta = checkpoint.load(tmp_path / "rate-1" / "checkpoint.h5")
    meta = {"updates": 1, "history": [], "diverged_epoch": None}
    run = Run(experiment("BN").trials()[0].recipe, toy)
    with pytest.raises(InputError, match="the state of another network: feedback/conv1/M was"):
        run.restore(arrays, meta)


def test_rates_that_agree_to_six_digits_have_runs_of_their_own(toy, tmp_path):
    factors = (1.0000001, 1.0, 12345.678, 12345.681)
    names = [trial.name for trial in experiment(rate_factors=factors).trials()]
    assert names == ["rate-1.0000001", "rate-1", "rate-12345.678", "rate-12345.681"]


RULE = """from minibp.feedback import FeedbackRule

class R(FeedbackRule):
    def V(self, W): return """


def test_a_rule_is_what_its_text_is(toy, tmp_path):
    rule, moved, out = tmp_path / "rule.py", tmp_path / "elsewhere.py", tmp_path / "out"
    rule.write_text(RULE + "+W")
    head = f"{rule}:R"
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment(head), toy, out, listener=Cut(3))
    moved.write_text(RULE + "+W")
    run_experiment(experiment(f"{moved}:R"), toy, out, resume=True)
    rule.write_text(RULE + "-W")
    with pytest.raises(
        InputError, match=r"rule's text was .*elsewhere\.py of SHA-256 .*, now .*rule"
    ):
        run_experiment(experiment(head), toy, out, resume=True)


def test_a_record_from_before_the_texts_were_kept_is_of_the_same_rule(toy, tmp_path):
    rule = tmp_path / "rule.py"
    rule.write_text(RULE + "+W")
    now = experiment(f"{rule}:R").identity()
    before = {name: value for name, value in now.items() if name != "files"}
    assert not differences(before, now, {})
    assert differences(before | {"condition": "BN"}, now, {})


def test_the_record_says_what_each_epoch_was_computed_with(toy, tmp_path):
    plan = experiment(rate_factors=[1], epochs=3)
    one, two = get_device("cpu", "plain", 1), get_device("cpu", "plain", 2)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(plan, toy, tmp_path, device=one, listener=Cut(3))
    with pytest.warns(UserWarning, match="from epoch 2 with other means: threads was 1, now 2"):
        record = run_experiment(plan, toy, tmp_path, device=two, resume=True)
    computed = record["rates"][0]["computed"]
    parts = [(part["from_epoch"], part["device"]["threads"]) for part in computed]
    assert parts == [(1, 1), (2, 2)]


def test_a_last_batch_of_one_is_an_error_for_bn_before_any_work(toy, tmp_path):
    with pytest.raises(InputError, match=r"batches of 13.*a last one of 1.*last_batch=drop"):
        run_experiment(experiment(batch_size=13), toy, tmp_path / "out")
    run_experiment(
        experiment("SGD", batch_size=13, rate_factors=[1], epochs=1), toy, tmp_path / "a"
    )
    settings = Settings(bn_batches=2, last_batch="drop")
    plan = experiment(batch_size=13, rate_factors=[1], epochs=1, settings=settings)
    run_experiment(plan, toy, tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"epochs": 0}, "epochs 0"),
        ({"batch_size": 0}, "batch size 0"),
        ({"base_rate": -1.0}, "rate -1"),
        ({"base_rate": float("nan")}, "rate nan"),
        ({"rate_factors": [1, -1]}, "rate factors"),
        ({"rate_factors": []}, "rate factors"),
        ({"rate_factors": [1, 1]}, "given twice"),
        ({"rate_drops": [-1]}, "rate drops"),
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"holdout": 2.0, "epochs": 1}, "holdout 2.0"),
        ({"train_limit": 0, "epochs": 1}, "train limit 0"),
    ],
)
def test_bad_settings_are_refused_before_any_work(toy, tmp_path, change, match):
    with pytest.raises(InputError, match=match):
        run_experiment(experiment(**change), toy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_json_is_strict_and_written_at_once(tmp_path):
    path = tmp_path / "run.json"
    write_json(path, {"error": 1.5, "loss": None})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"loss": float("nan")})
    assert read_json(path) == {"error": 1.5, "loss": None}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


KILLED = """
import sys
from pathlib import Path
from minibp import Condition, Settings
from minibp.experiments.sweep import run_experiment
from minibp.study.recipe import paper_experiment
from minibp_datasets import digits

experiment = paper_experiment(
    "digits", "mnist", Condition.parse(sys.argv[2]), epochs=4, train_limit=150, batch_size=50,
    rate_factors=(1, 0.1), settings=Settings(bn_batches=2),
)
run_experiment(experiment, digits.load(), Path(sys.argv[1]), resume=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("head", ["brSF-25+BN+BM", "frSF+BM3", "uSF+BN", "RndF+BN+BM Bottom", "BN"])
def test_kill_9_at_random_moments(tmp_path, head):
    """Four kills a condition, 20 in all, each resumed; the weights must be the same bits."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)

    def start(folder):
        return subprocess.Popen([sys.executable, script, folder, head])

    begin = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    length = time.monotonic() - begin
    moments = np.random.default_rng(len(head)).uniform(0.2, 0.8, 4) * length
    for moment in moments:
        process = start(tmp_path / "cut")
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(tmp_path / "cut").wait() == 0
    whole, cut = (read_json(tmp_path / name / "run.json") for name in ("whole", "cut"))
    assert comparable(whole) == comparable(cut)
    for name in ("rate-1", "rate-0.1"):
        a, _ = checkpoint.load(tmp_path / "whole" / name / "checkpoint.h5")
        b, _ = checkpoint.load(tmp_path / "cut" / name / "checkpoint.h5")
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
