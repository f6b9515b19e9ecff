"""Sweeps: every run once, whatever happens to those who do them."""

import builtins
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import slow_folder
from cpp_device import COMPILER, CppDevice
from minibp_datasets import registry
from threadpoolctl import threadpool_limits

from minibp.errors import InputError
from minibp.experiments import results
from minibp.experiments.job import (
    DONE,
    ELSEWHERE,
    DataSource,
    Outcome,
    Worker,
    jobs_of,
    locked,
    work,
)
from minibp.experiments.sweep import Sweep, appears, run_here
from minibp.experiments.workers import run_in_processes, run_on_cluster, run_side_by_side
from minibp.study.conditions import Condition
from minibp.study.recipe import paper_experiment
from minibp.training.run import Run

ROOT = Path(__file__).parents[2]
DATA = "synthetic:mnist,classes=3,train=60,test=30"
HOW = Worker(kernels="plain")


def jobs(folder, heads=("SGD", "uSF+BM"), factors=(1, 0.1), epochs=2, data=DATA):
    experiments = [
        paper_experiment(data, "mnist", Condition.parse(head), epochs=epochs, rate_factors=factors)
        for head in heads
    ]
    return jobs_of([(experiment, DataSource(data)) for experiment in experiments], folder)


def sweep(folder, **options):
    return Sweep(jobs(folder, **options), registry.load, HOW)


def quiet(_):
    pass


def numbers(folder):
    """Return what a sweep's folder says, but for times."""

    def plain(value):
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in ("seconds", "folder")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return plain(results.read(folder))


def test_the_jobs_of_the_papers_grid(tmp_path):
    from minibp.study import paper

    experiments = [
        (paper_experiment("digits", "mnist", condition), DataSource("digits"))
        for condition in paper.conditions()
    ]
    found = jobs_of(experiments, tmp_path)
    assert len(found) == 35 * 5 + 5  # uSF+BM has a second batch schedule
    assert len({job.place for job in found}) == len(found)


@pytest.fixture
def gpu(monkeypatch):
    """Jobs for device "cuda" get a stand-in each."""
    if COMPILER is None:
        pytest.skip("needs a C++ compiler")
    made = []

    def get_device(name, *_):
        assert name == "cuda"
        made.append(CppDevice())
        return made[-1]

    monkeypatch.setattr("minibp.experiments.job.get_device", get_device)
    return made


def on_gpu(folder, **options):
    return Sweep(jobs(folder, **options), registry.load, Worker(device="cuda"))


def test_runs_side_by_side_on_a_gpu_are_those_one_by_one(tmp_path, gpu, monkeypatch):
    heads = ("frSF+BN+BM", "brSF-25")
    run_here(on_gpu(tmp_path / "one", heads=heads), quiet)
    together, seen = threading.Barrier(4, timeout=60), []
    advance = Run.advance

    def all_at_once(self, *rest):
        if not self.history:
            together.wait()  # or it raises: four are in their first epoch
        return advance(self, *rest)

    monkeypatch.setattr(Run, "advance", all_at_once)
    watch = lambda sweep: seen.append(sweep.progress.running)  # noqa: E731
    run_side_by_side(on_gpu(tmp_path / "four", heads=heads), watch, 4)
    assert max(seen) == 4
    assert numbers(tmp_path / "one") == numbers(tmp_path / "four")
    assert len(gpu) == 5  # a stream for each thread, in turn its runs'
    records = [
        json.loads(path.read_text()) for path in (tmp_path / "four").rglob("rate-*/run.json")
    ]
    assert [record["launches"] for record in records] == ["one a step"] * 4


def test_more_runs_than_fit_side_by_side_and_one_that_fails(tmp_path, gpu, monkeypatch):
    sweep = on_gpu(tmp_path, factors=(1, 0.1, 0.01), epochs=1)
    broken = next(iter(sweep.left.values())).place
    advance = Run.advance

    def breaking(self, *rest):
        if self.recipe.rate == 5e-4 and self.recipe.condition == Condition():
            raise OSError("no space left")
        return advance(self, *rest)

    monkeypatch.setattr(Run, "advance", breaking)
    run_side_by_side(sweep, quiet, 2)
    assert (sweep.progress.done, sweep.progress.failed) == (len(sweep.jobs) - 1, 1)
    assert "no space left" in (broken / "error.json").read_text()


def test_runs_of_others_are_waited_for_side_by_side(tmp_path, gpu, monkeypatch):
    monkeypatch.setattr("minibp.experiments.workers.PAUSE", 0.01)
    sweep = on_gpu(tmp_path, heads=("SGD",), epochs=1)
    first = next(iter(sweep.left.values()))
    first.place.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(locked(first.place / "lock"))

        def release(sweep):
            if sweep.progress.done == 1:
                stack.close()

        run_side_by_side(sweep, release, 2)
    assert sweep.progress.done == 2


def test_an_interrupt_ends_the_runs_side_by_side_at_their_next_step(tmp_path, gpu):
    sweep = on_gpu(tmp_path, epochs=1000)

    def interrupt(sweep):
        if list(tmp_path.rglob("checkpoint.h5")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_side_by_side(sweep, interrupt, 2)
    assert not list(tmp_path.rglob("error.json"))
    assert sweep.progress.done == 0


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
    from minibp.experiments.sweep import run_experiment

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


def test_weights_are_kept_by_choice(tmp_path):
    job = jobs(tmp_path)[0]
    assert work(job, registry.load, Worker(kernels="plain", keep_weights=True)).state == DONE
    assert (job.place / "checkpoint.h5").exists()


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


def test_a_run_that_somebody_else_does_is_left_to_them(tmp_path):
    job = jobs(tmp_path)[0]
    job.place.mkdir(parents=True)
    with locked(job.place / "lock") as mine:
        assert mine
        assert work(job, registry.load, HOW).state == ELSEWHERE
    assert work(job, registry.load, HOW).state == DONE


def test_two_sweeps_on_one_folder_do_each_run_once(tmp_path, monkeypatch):
    from minibp.experiments import job as module

    begun = []
    do_trial = module.do_trial

    def counted(folder, name, *arguments, **options):
        begun.append(folder / name)
        return do_trial(folder, name, *arguments, **options)

    monkeypatch.setattr(module, "do_trial", counted)
    both = [sweep(tmp_path), sweep(tmp_path)]
    threads = [threading.Thread(target=run_here, args=(one, quiet)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun) == sorted(job.place for job in both[0].jobs)
    assert all(one.progress.done == 6 for one in both)


def test_processes_give_the_same_numbers(tmp_path):
    one, many = sweep(tmp_path / "one"), sweep(tmp_path / "many")
    run_here(one, quiet)
    seen = []
    run_in_processes(many, lambda s: seen.append(s.progress.running), 2)
    assert many.progress.done == 6
    assert max(seen) > 0
    assert numbers(tmp_path / "one") == numbers(tmp_path / "many")


def test_no_scheduler_at_an_address(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("minibp.experiments.workers.ANSWER", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp://127"):
        run_on_cluster(sweep(tmp_path), quiet, address="tcp://127.0.0.1:9")


def test_without_dask(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"minibp\[sweep\].*--workers N"):
        run_on_cluster(sweep(tmp_path), quiet, "tcp://127.0.0.1:9")


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


def scheduler(port):
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", str(port)]
    return subprocess.Popen(
        [*command, "--no-dashboard", "--host", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def worker(address, *more):
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
    return subprocess.Popen(
        [*command, "--nthreads", "1", "--no-nanny", "--death-timeout", "60", *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )


def free_port():
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.slow
def test_workers_that_die_and_come_late_and_a_scheduler_that_restarts(tmp_path):
    pytest.importorskip("distributed")
    options = {"heads": ("SGD", "BN", "frSF+BN+BM"), "epochs": 12}
    whole = sweep(tmp_path / "whole", **options)
    run_here(whole, quiet)
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    processes = {"scheduler": scheduler(port), "first": worker(address)}
    disturbed = sweep(tmp_path / "disturbed", **options)
    events = []

    def disturb(_):
        checkpoints = list((tmp_path / "disturbed").rglob("checkpoint.h5"))
        if not events and checkpoints:  # in mid-run
            processes["first"].kill()
            processes["late"] = worker(address)
            events.append("worker killed, another joins")
        elif len(events) == 1 and disturbed.progress.done >= 2:
            processes["scheduler"].kill()
            processes["scheduler"].wait()
            processes["scheduler"] = scheduler(port)
            processes["last"] = worker(address)
            events.append("scheduler restarted")

    try:
        run_on_cluster(disturbed, disturb, address=address)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    assert len(events) == 2
    assert disturbed.progress.done == disturbed.progress.total
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "disturbed")


@pytest.mark.slow
def test_a_slow_shared_folder_in_which_new_files_are_seen_late(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    whole = sweep(tmp_path / "whole")
    run_here(whole, quiet)
    monkeypatch.setenv(slow_folder.FOLDER, str(tmp_path / "shared"))
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    preload = ("--preload", slow_folder.__file__)
    processes = [scheduler(port), worker(address, *preload), worker(address, *preload)]
    for module, name in ((builtins, "open"), (os, "stat"), (os, "replace")):
        monkeypatch.setattr(module, name, getattr(module, name))  # to be as before in the end
    slow_folder.install()  # here, too
    try:
        for _ in range(2):  # the second finds everything done
            shared = sweep(tmp_path / "shared")
            run_on_cluster(shared, quiet, address=address)
            shared.finish()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    monkeypatch.undo()
    assert (shared.progress.done, shared.progress.failed) == (6, 0)
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "shared")


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


def command(folder, *more):
    return [
        *(sys.executable, str(ROOT / "scripts" / "sweep.py"), "--out", str(folder)),
        *("--conditions", "SGD", "BN", "frSF+BN+BM", "--rate-factors", "1", "0.1"),
        *("--datasets", DATA, "--epochs", "6", "--kernels", "plain", *more),
    ]


def test_ctrl_c_ends_it_cleanly(tmp_path):
    """As in a terminal: every process of the group gets the signal."""
    process = subprocess.Popen(
        command(tmp_path, "--workers", "2", "--quiet", "--epochs", "300"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list(tmp_path.rglob("checkpoint.h5")) and process.poll() is None:
        time.sleep(0.1)
    workers = workers_of(process.pid)
    assert workers
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "\ninterrupted; the same command goes on\n"
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.slow
def test_a_sweep_killed_at_random_moments_gives_the_same_tables(tmp_path):
    """Kills of workers and of the whole sweep; KILLS of them, 100 by hand (docs/cluster.md)."""
    kills = int(os.environ.get("MINIBP_TEST_KILLS", "6"))
    subprocess.run(command(tmp_path / "whole", "--workers", "0", "--quiet"), check=True)
    rng = __import__("random").Random(0)
    done = 0
    round_ = 0
    while done < kills:
        folder = tmp_path / f"killed{round_}"
        process = None
        for _ in range(8):
            process = subprocess.Popen(
                command(folder, "--workers", "2", "--quiet"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            end = time.monotonic() + rng.uniform(4, 9)
            while time.monotonic() < end and process.poll() is None:
                time.sleep(rng.uniform(0.2, 1))
                children = workers_of(process.pid)
                if children and rng.random() < 0.3 and done < kills:
                    os.kill(rng.choice(children), signal.SIGKILL)
                    done += 1
            if process.poll() is None:
                process.kill()
                done += 1
            process.wait()
            if process.returncode == 0 or done >= kills:
                break
        subprocess.run(command(folder, "--workers", "0", "--quiet"), check=True)
        assert numbers(tmp_path / "whole") == numbers(folder)
        round_ += 1
    print(f"{done} kills in {round_} sweeps")


def workers_of(pid):
    """Return the worker processes that a sweep started (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            text = (path.parent / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if parent == pid and b"spawn_main" in text:
            found.append(int(path.parent.name))
    return found
