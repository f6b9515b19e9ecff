"""On a GPU a step is one graph, also where V learns or the error comes from afar."""

import numpy as np
import pytest
from conftest import make_device
from cpp_device import COMPILER, CppDevice
from test_replay import a_run, assert_same, finish, gpus, launch_by_launch

from minibp.feedback import get_rule
from minibp.training.data import Data

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


NETWORK = """
def small(net, classes):
    net.conv(3, 4, stride=2, padding=1, init="he")
    net.residual(lambda net: net.conv(3, 4, padding=1, activation=None, init="he"))
    net.activation("relu")
    net.global_avg_pool()
    net.fc(6, init="he")
    net.output(classes, init="he")
"""


@gpus
@pytest.mark.parametrize(
    "head",
    "KP+BN PFA+BM WM+BN DFA+BN DRTP DKP+BM KP+Frobenius frSF+BN+Muon RndF+BN+Adam".split(),
)
def test_of_a_users_network_with_augmentation_in_the_gpus_memory(head, name, tmp_path):
    """One graph a step: launched steps to the bit, and in double precision the CPU's."""
    (tmp_path / "net.py").write_text(NETWORK)
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (22, 6, 6, 2)).astype("uint8"), np.arange(22) % 3
    data = Data("toy", X[:14], y[:14], X[14:], y[14:], classes=3)
    chosen = {"augmentation": "crop+flip", "crop_padding": 1, "dtype": "float64"}
    replayed, launched, cpu = (
        a_run(head, make_device(device), f"{tmp_path}/net.py:small", data=data, **chosen)
        for device in (name, name, "plain")
    )
    assert_same(finish(replayed), finish(launch_by_launch(launched)))
    assert replayed.launches == "one a step"
    losses = [[row["loss"] for row in run.history] for run in (replayed, finish(cpu))]
    np.testing.assert_allclose(*losses, rtol=1e-6)


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
