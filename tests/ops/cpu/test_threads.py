import os
import threading

import numpy as np
import pytest
import scipy.linalg  # noqa: F401 - has a BLAS of its own, which is to be counted from the start
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba")

from threadpoolctl import threadpool_info

from minibp.device import available_cores
from minibp.errors import InputError
from minibp.ops.cpu.threads import Team


def blas_threads():
    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]


@given(threads=st.integers(1, 9), size=st.integers(0, 30))
def test_shares_are_the_whole_in_order(threads, size):
    shares = Team(threads).shares(size)
    assert len(shares) <= threads
    assert [k for a, e in shares for k in range(a, e)] == list(range(size))
    assert max(e - a for a, e in shares) - min(e - a for a, e in shares) <= 1


def test_every_share_runs_with_one_blas_thread_and_the_callers_errstate():
    before, seen = blas_threads(), {}

    def task(worker, begin, end):
        seen[worker] = (begin, end, threading.get_ident(), blas_threads(), np.geterr()["over"])

    with np.errstate(over="raise"):
        Team(3).run(task, 10)
    assert [seen[k][:2] for k in range(3)] == [(0, 3), (3, 6), (6, 10)]
    assert seen[0][2] == threading.get_ident()
    assert len({row[2] for row in seen.values()}) >= 2
    assert all(set(row[3]) == {1} and row[4] == "raise" for row in seen.values())
    assert blas_threads() == before


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_a_share_is_the_callers(failing):
    before, ended = blas_threads(), []

    def task(worker, *_):
        if worker == failing:
            raise ZeroDivisionError
        ended.append(worker)

    team = Team(2)
    with pytest.raises(ZeroDivisionError):
        team.run(task, 2)
    assert ended == [1 - failing]
    assert blas_threads() == before
    team.run(lambda *_: None, 2)  # and the team is still there


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_team_works_after_a_fork():
    team, done = Team(2), []
    team.run(lambda *_: None, 2)
    child = os.fork()
    if child == 0:
        team.run(lambda worker, *_: done.append(worker), 2)
        os._exit(0 if sorted(done) == [0, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_interrupt_waits_for_the_workers_and_leaves_no_job_behind():
    team, ended = Team(2), []

    def interrupted(worker, *_):
        if worker == 0:
            raise KeyboardInterrupt
        ended.append(worker)

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            team.run(interrupted, 2)
    assert ended == [1, 1, 1]
    seen = []
    team.run(lambda worker, *_: seen.append(worker), 2)
    assert sorted(seen) == [0, 1]


def test_an_interrupt_while_waiting_for_a_worker(monkeypatch):
    from minibp.ops.cpu import threads

    team, ended, real = Team(2), [], threads._Worker.join
    calls = []

    def join(worker, number):
        calls.append(number)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return real(worker, number)

    monkeypatch.setattr(threads._Worker, "join", join)
    with pytest.raises(KeyboardInterrupt):
        team.run(lambda worker, *_: ended.append(worker), 2)
    assert sorted(ended) == [0, 1]  # the worker's share is done when the caller goes on
    team.run(lambda worker, *_: ended.append(worker), 2)
    assert sorted(ended) == [0, 0, 1, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_the_team_works():
    team, before, inside, go_on = Team(2), blas_threads(), threading.Event(), threading.Event()

    def busy(worker, *_):
        if worker == 0:
            inside.set()
            go_on.wait(10)

    other = threading.Thread(target=team.run, args=(busy, 2))
    other.start()
    inside.wait(10)
    child = os.fork()
    if child == 0:
        done = []
        as_before = blas_threads() == before
        team.run(lambda worker, *_: done.append(worker), 2)
        os._exit(0 if as_before and sorted(done) == [0, 1] else 1)
    status = os.waitpid(child, 0)[1]
    go_on.set()
    other.join()
    assert status == 0


def test_as_many_as_cores_by_default():
    assert Team().threads == available_cores() >= 1
    for bad in (0, -1, 1.5):
        with pytest.raises(InputError, match="threads"):
            Team(bad)
