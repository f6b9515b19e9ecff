"""Diagnostics within an epoch: when, and that they change nothing."""

import dataclasses

import numpy as np
import pytest
from conftest import make_device
from minibp_datasets import registry

from minibp import Condition, Settings
from minibp.study.recipe import PaperRecipe
from minibp.training.probe import Probe, moments_of
from minibp.training.run import Run

DATA = "synthetic:mnist,classes=3,train=50,test=20"


def a_run(head, kernels, every=0, epochs=2, of=1):
    settings = Settings(bn_batches=2, diagnose_every=every, diagnose_epochs=of)
    recipe = PaperRecipe(
        rate=1e-3, model="mnist", condition=Condition.parse(head), epochs=epochs, settings=settings
    )
    batches = dataclasses.replace(recipe.batches, size=10)
    recipe = dataclasses.replace(recipe, batches=batches)
    return Run(recipe, registry.load(DATA), make_device(kernels))


def test_it_is_time_every_so_many_steps():
    probe = Probe(3, epoch=1, steps=9)
    for _ in range(9):
        if probe.due():
            probe.take()
    assert [row["epochs"] for row in probe.record()["probes"]] == [0, 0.333333, 0.666667]
    assert Probe().record() == {}
    assert not any(Probe().due() for _ in range(9))


@pytest.mark.parametrize(
    ("head", "kernels"),
    [
        ("frSF-25+BN+BM", "compiled"),
        ("frSF-25+BN+BM", "cpp"),
        ("KP+BN+Adam", "strict"),
        ("KP+BN+Adam", "compiled"),
        ("DFA", "plain"),
        ("DFA", "cpp"),
        ("brSF", "compiled"),
    ],
)
def test_they_change_no_bit_of_a_run(head, kernels):
    runs = [a_run(head, kernels), a_run(head, kernels, every=2, of=2)]
    for run in runs:
        while not run.finished:
            run.advance()
    (plain, _), (probed, _) = (run.state() for run in runs)
    assert plain.keys() == probed.keys()
    for key in plain:
        np.testing.assert_array_equal(plain[key], probed[key], err_msg=key)
    assert [row["loss"] for row in runs[0].history] == [row["loss"] for row in runs[1].history]
    found = [[row["epochs"] for row in epoch["probes"]] for epoch in runs[1].history]
    assert found == [[0, 0.4, 0.8], [1.4, 1.8]]
    assert "probes" not in runs[0].history[0]
    assert list(runs[1].history[0]["probes"][0]["layers"]) == ["conv1", "conv2", "fc3", "fc4"]


def test_a_resumed_run_has_the_same():
    whole, first = (a_run("frSF", "plain", every=2, of=2) for _ in range(2))
    whole.advance()
    whole.advance()
    first.advance()
    again = a_run("frSF", "plain", every=2, of=2)
    again.restore(*first.state())
    again.advance()
    assert [row["probes"] for row in again.history] == [row["probes"] for row in whole.history]
    moments = moments_of(whole.history)
    assert [epochs for epochs, _ in moments] == [0, 0.4, 0.8, 1, 1.4, 1.8, 2]
    assert moments[1][1] is whole.history[0]["probes"][1]["layers"]
    assert moments[3][1] is whole.history[0]["layers"]
