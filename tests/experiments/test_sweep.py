import json
import threading

import pytest
from minibp_datasets import registry
from small_sweeps import DATA, HOW, jobs, numbers, quiet, sweep
from threadpoolctl import threadpool_limits

from minibp import Condition
from minibp.errors import InputError
from minibp.experiments import results
from minibp.experiments.job import DONE, DataSource, Outcome, jobs_of
from minibp.experiments.sweep import Sweep, appears, run_experiment, run_here
from minibp.study.recipe import paper_experiment


def test_a_sweep_in_this_process(tmp_path):
    done = sweep(tmp_path)
    run_here(done, quiet)
    assert (done.progress.total, done.progress.done, done.progress.failed) == (6, 6, 0)
    records = results.read(tmp_path)
    assert [len(record["rates"]) for record in records] == [2, 4]
    assert all(record["finished"] for record in records)
    assert not list(tmp_path.rglob("*.h5"))  # weights are not kept
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run.json")}
    again = sweep(tmp_path)
    assert not again.left
    run_here(again, quiet)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run.json")} == before


def test_it_is_what_one_experiment_after_the_other_gives(tmp_path):
    from minibp.device import get_device

    done = sweep(tmp_path / "sweep")
    run_here(done, quiet)
    for job in done.jobs[::3]:
        with threadpool_limits(1):
            run_experiment(
                job.experiment,
                registry.load(DATA),
                tmp_path / "single" / job.experiment.recipe.name,
                device=get_device("cpu", "plain", 1),
            )
    for ours, theirs in zip(numbers(tmp_path / "sweep"), numbers(tmp_path / "single"), strict=True):
        assert ours["rates"] == theirs["rates"]


def test_a_failed_run_is_recorded_and_tried_again_next_time(tmp_path):
    def broken(name, **options):
        raise RuntimeError("no room")

    failing = Sweep(jobs(tmp_path), broken, HOW)
    run_here(failing, quiet)
    assert (failing.progress.done, failing.progress.failed) == (0, 6)
    assert failing.progress.errors[0].error == "RuntimeError: no room"
    note = json.loads((failing.jobs[0].place / "error.json").read_text())
    assert "no room" in note["traceback"]
    again = sweep(tmp_path)
    run_here(again, quiet)
    assert again.progress.done == 6
    assert not list(tmp_path.rglob("error.json"))


def test_one_failure_does_not_stop_the_others(tmp_path):
    def broken_once(name, **options):
        if not calls:
            calls.append(name)
            raise RuntimeError("once")
        return registry.load(name, **options)

    calls = []
    some = Sweep(jobs(tmp_path), broken_once, HOW)
    run_here(some, quiet)
    assert (some.progress.done, some.progress.failed) == (5, 1)


def test_two_sweeps_on_one_folder_do_each_run_once(tmp_path, monkeypatch):
    from minibp.experiments import trial as module

    begun = []

    class Counted(module.Run):
        def __init__(self, recipe, *arguments):
            super().__init__(recipe, *arguments)
            begun.append((recipe.name, recipe.rate, str(recipe.batches)))

    monkeypatch.setattr(module, "Run", Counted)
    both = [sweep(tmp_path), sweep(tmp_path)]
    threads = [threading.Thread(target=run_here, args=(one, quiet)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == len(set(begun)) == 6
    assert all(one.progress.done == 6 for one in both)


def test_ten_thousand_runs_are_planned_at_once(tmp_path):
    experiments = [
        (
            paper_experiment(DATA, "mnist", Condition.parse(head), seed=seed),
            DataSource(DATA),
        )
        for head in ("SGD", "BN", "frSF+BN+BM", "RndF")
        for seed in range(500)
    ]
    planned = Sweep(jobs_of(experiments, tmp_path), registry.load, HOW)
    assert len(planned.left) == 10_000


def test_what_another_machine_wrote_may_come_into_sight_late(tmp_path):
    path = tmp_path / "run.json"
    assert not appears(path, patience=0)
    thread = threading.Timer(0.3, path.touch)
    thread.start()
    assert appears(path, patience=60)
    thread.join()


def test_a_run_that_is_done_but_not_here(tmp_path, monkeypatch):
    monkeypatch.setattr("minibp.experiments.sweep.SETTLE", 0)
    lost = sweep(tmp_path)
    with pytest.raises(InputError, match="all workers share"):
        lost.take(Outcome(next(iter(lost.left.values())), DONE))
