import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_sweeps import (
    Cut,
    comparable,
    experiment,
)

from minibp import get_device
from minibp.errors import InputError
from minibp.experiments.sweep import run_experiment
from minibp.files import read_json
from minibp.training import checkpoint
from minibp.training.run import Run


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
