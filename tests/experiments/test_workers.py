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
from small_sweeps import (
    DATA,
    ROOT,
    jobs,
    numbers,
    quiet,
    sweep,
)

from minibp import Condition
from minibp.errors import InputError
from minibp.experiments.job import (
    Worker,
    locked,
)
from minibp.experiments.sweep import Sweep, run_here
from minibp.experiments.workers import run_in_processes, run_on_cluster, run_side_by_side
from minibp.training.run import Run


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
