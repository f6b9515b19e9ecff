"""On a GPU a step is one graph, also where V learns or the error comes from afar."""

import pytest
from cpp_device import COMPILER, CppDevice
from test_replay import a_run, assert_same, finish, launch_by_launch

from minibp.feedback import get_rule

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
ONE_GRAPH = "KP+BN+BM PFA+BM DRTP+BN DKP+BM WM+BN".split()
SLOW = "noisySF-5 trickleSF KP+BN SA+BN AA+BN IA+BN DFA+BN sDFA SS uSF-SN RndF-SN".split()


@pytest.mark.parametrize(
    "head", [*ONE_GRAPH, *(pytest.param(head, marks=pytest.mark.slow) for head in SLOW)]
)
def test_one_graph_a_step_gives_the_same_bits(head):
    run = finish(a_run(head, CppDevice()))
    assert run.launches == "one a step"
    assert_same(run, finish(launch_by_launch(a_run(head, CppDevice()))))


@pytest.mark.parametrize(
    "head",
    [
        "KP+Frobenius",
        *(pytest.param(h, marks=pytest.mark.slow) for h in ("RndF+BN+Adam", "KP+Muon")),
    ],
)
def test_plug_ins_are_part_of_the_graph(head):
    run = finish(a_run(head, CppDevice()))
    assert run.launches == "one a step"
    assert_same(run, finish(launch_by_launch(a_run(head, CppDevice()))))


@pytest.mark.parametrize(
    ("head", "why"),
    [("lateSF", "does not say replayable"), ("RndF+WN", "changes parameters after their update")],
)
def test_what_needs_the_host_is_launched_piece_by_piece(head, why):
    run = finish(a_run(head, CppDevice()))
    assert why in run.launches


def test_noise_of_the_host_is_not_recorded(monkeypatch):
    def after(self, here):
        return here.V + here.rng.normal(here.V.shape)

    monkeypatch.setattr(get_rule("KP"), "after", after)
    run = finish(a_run("KP", CppDevice()))
    assert "from the host" in run.launches
    assert_same(run, finish(launch_by_launch(a_run("KP", CppDevice()))))
