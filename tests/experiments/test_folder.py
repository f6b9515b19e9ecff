import contextlib
import json

import pytest
from small_sweeps import (
    Cut,
    comparable,
    experiment,
)

from minibp.errors import InputError
from minibp.experiments.sweep import run_experiment
from minibp.files import read_json, write_json
from minibp.training import checkpoint


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


def test_another_experiments_folder_is_refused(toy, tmp_path):
    run_experiment(experiment(rate_factors=[1], epochs=1), toy, tmp_path / "out")
    with pytest.raises(InputError, match="epochs was 1, now 2"):
        run_experiment(experiment(rate_factors=[1]), toy, tmp_path / "out", resume=True)
    with pytest.raises(InputError, match=r"condition was .*, now 'BN'"):
        run_experiment(experiment("BN", rate_factors=[1], epochs=1), toy, tmp_path / "out")
    with pytest.raises(InputError, match="go on with --resume"):
        run_experiment(experiment(rate_factors=[1], epochs=1), toy, tmp_path / "out")


def test_more_rates_are_tried_later(toy, tmp_path):
    """The runs that are done count; the record has all that are done, whichever were asked for."""

    def run(*factors):
        plan = experiment(rate_factors=factors, epochs=1)
        record = run_experiment(plan, toy, tmp_path, resume=True)
        return [rate["factor"] for rate in record["rates"]], record

    assert run(1)[0] == [1]
    path = tmp_path / "rate-1" / "run.json"
    first = path.read_bytes()
    assert run(0.1)[0] == [0.1, 1]
    rates, record = run(10, 1, 0.1)
    assert rates == [10, 1, 0.1]
    assert record["finished"]
    assert record["settings"]["rate_factors"] == [10, 1, 0.1]
    assert path.read_bytes() == first
    assert record["best_error"] == min(rate["best_error"] for rate in record["rates"])
    whole = run_experiment(experiment(rate_factors=(10, 1, 0.1), epochs=1), toy, tmp_path / "whole")
    assert comparable(whole) == comparable(record)


def test_a_rate_that_was_begun_and_is_not_asked_for_is_left(toy, tmp_path):
    with contextlib.suppress(KeyboardInterrupt):
        run_experiment(experiment(rate_factors=[1]), toy, tmp_path, listener=Cut(1))
    record = run_experiment(experiment(rate_factors=[0.1]), toy, tmp_path, resume=True)
    assert [rate["factor"] for rate in record["rates"]] == [0.1]
    assert record["finished"]


def test_records_that_know_of_other_rates_are_read(toy, tmp_path):
    """As they were written before: the owner of a run named the rates of its experiment."""
    whole = run_experiment(experiment(rate_factors=[1]), toy, tmp_path / "whole")
    with contextlib.suppress(KeyboardInterrupt):
        run_experiment(experiment(rate_factors=[1]), toy, tmp_path / "a", listener=Cut(6))
    path = tmp_path / "a" / "rate-1" / "checkpoint.h5"
    arrays, meta = checkpoint.load(path)
    assert "rate_factors" not in meta["owner"]
    meta["owner"]["rate_factors"] = [1, 2]
    checkpoint.save(path, arrays, meta)
    record = run_experiment(experiment(rate_factors=[1]), toy, tmp_path / "a", resume=True)
    assert comparable(record) == comparable(whole)
    path = tmp_path / "a" / "rate-1" / "run.json"
    old = read_json(path)
    old["owner"]["rate_factors"] = [1, 2]
    write_json(path, old)
    again = run_experiment(experiment(rate_factors=[1]), toy, tmp_path / "a", resume=True)
    assert again["rates"] == [old]


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


def test_finished_runs_are_not_run_again(toy, tmp_path):
    first = run_experiment(experiment(), toy, tmp_path / "out")
    again = run_experiment(experiment(), toy, tmp_path / "out", resume=True, listener=Cut(1))
    assert again == json.loads(json.dumps(first))  # to the second
