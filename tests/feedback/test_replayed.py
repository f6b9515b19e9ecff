"""On a GPU a step is one graph, also where V learns or the error comes from afar."""

import pytest
from cpp_device import COMPILER, CppDevice
from test_replay import a_run, assert_same, finish, launch_by_launch

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
ONE_GRAPH = "KP+BN KP+BN+BM SA+BN AA+BN IA+BN PFA+BM DFA+BN sDFA DRTP+BN DKP+BM SS uSF-SN RndF-SN"


@pytest.mark.parametrize("head", ONE_GRAPH.split())
def test_one_graph_a_step_gives_the_same_bits(head):
    run = finish(a_run(head, CppDevice()))
    assert run.launches == "one a step"
    assert_same(run, finish(launch_by_launch(a_run(head, CppDevice()))))


@pytest.mark.parametrize("head", ["WM+BN", "lateSF", "noisySF-5", "trickleSF+BN"])
def test_what_draws_on_the_host_is_launched_piece_by_piece(head):
    run = finish(a_run(head, CppDevice()))
    assert "does not say replayable" in run.launches
