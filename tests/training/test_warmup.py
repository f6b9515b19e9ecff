"""A rehearsal before a run."""

import pytest
from minibp_datasets import registry

from minibp import Condition, get_device
from minibp.errors import InputError
from minibp.study.recipe import paper_experiment
from minibp.training.warmup import rehearse

DATA = "synthetic:mnist,classes=3,train=20,test=10"


def rehearsed(network="mnist", data=DATA):
    recipe = paper_experiment("toy", network, Condition.parse("frSF+BN+BM"), epochs=1).recipe
    rehearse(recipe, registry.load(data), get_device("cpu", "plain"), lambda: None)


def test_what_fits_passes_silently(capsys):
    rehearsed()
    assert capsys.readouterr() == ("", "")


def test_what_does_not_fit_is_found(tmp_path):
    (tmp_path / "net.py").write_text("def f(net, classes):\n    net.conv(40, 3)\n")
    with pytest.raises(InputError, match="layer 'conv1': a window of 40x40 does not fit"):
        rehearsed(f"{tmp_path / 'net.py'}:f")
