import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minibp import Condition, Settings, build_network, get_device
from minibp.errors import InputError
from minibp.files import read_json
from minibp.layers import AvgPool2D, BatchNorm, Conv2D, Flatten, Linear, MaxPool2D
from minibp.study.networks import get_network
from minibp.study.recipe import paper_experiment
from minibp.training import checkpoint

ROOT = Path(__file__).parents[2]
SHAPE = (8, 8, 2)


def build(function, head="SGD", shape=SHAPE, classes=3, **settings):
    device = get_device("cpu", "plain")
    given = {"settings": Settings(**settings), "dtype": "float64", "shape": shape}
    return build_network(function, classes, Condition.parse(head), device, **given)


def small(net, classes):
    net.conv(3, 4, padding=1, pool=("avg", 2, 2), activation="tanh", init="he")
    net.residual(branch, lambda net: net.conv(1, 6, stride=2, activation=None))
    net.activation("sigmoid")
    net.global_avg_pool()
    net.output(classes, init=0.5)


def branch(net):
    net.conv(3, 6, stride=2, padding=1)
    net.conv(3, 6, padding=1, activation=None)


def test_names_shapes_and_parameters():
    net = build(small, "frSF+BN")
    assert [layer.path for layer in net.weighted] == [
        "conv1",
        "block1/conv2",
        "block1/conv3",
        "block1/conv4",
        "fc5",
    ]
    assert net.forward(np.zeros((2, *SHAPE)), train=True).shape == (2, 3)
    assert len(net.batch_norms()) == 4  # the condition's BN, also within the block


@pytest.mark.parametrize(
    ("init", "sigma"),
    [("he", (2 / 180) ** 0.5), ("xavier", (2 / (180 + 900)) ** 0.5), (0.3, 0.3), ("paper", 0.01)],
)
def test_initializers(init, sigma):
    def net_of(**given):
        def function(net, classes):
            net.conv(3, 100, **given)
            net.output(classes)

        return function

    by_argument = build(net_of(init=init), shape=(3, 3, 20)).weighted[0].W
    by_setting = build(net_of(), shape=(3, 3, 20), init=str(init)).weighted[0].W
    np.testing.assert_array_equal(by_argument, by_setting)
    assert by_argument.std() == pytest.approx(sigma, rel=0.05)


def test_a_layer_of_a_users_own():
    class Twice(Flatten):
        def forward(self, X, *, train):
            return 2 * super().forward(X, train=train)

    def own(net, classes):
        net.add(Twice(name="twice"))
        net.output(classes)

    assert build(own).weighted[0].W.shape == (128, 3)


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("def g(net, classes): pass", "no function 'f'"),
        ("f = 3", "no function 'f'"),
        ("def f(net): pass", r"too many positional.*def NAME\(net, classes\)"),
        ("def f(net, classes): return net", "returned a Builder"),
        ("def f(net, classes): pass", "no layer with weights"),
        ("def f(net, classes): net.fc(4)", r"shape \(4,\): expected \(3,\)"),
        ("def f(net, classes): net.conv(9, 4)", r"layer 'conv1': a window of 9x9"),
        ("def f(net, classes): net.conv(3, 4, pool=('max', 9, 2))", "layer 'pool1': a window"),
        ("def f(net, classes): net.conv(3, 4, pool=('mix', 2, 2))", "unknown pool 'mix'"),
        ("def f(net, classes): net.fc(4, activation='rely')", "did you mean 'relu'"),
        ("def f(net, classes): net.fc(4, init='hee')", "init='hee'"),
        ("def f(net, classes): net.fc(0)", "layer 'fc1': W of shape"),
        ("def f(net, classes): net.fc(4); net.conv(3, 4)", "layer 'conv2': a convolution of"),
        ("def f(net, classes): 1 / 0", r"f\.py:1: `def f.*ZeroDivisionError"),
        (
            "def f(net, classes): net.residual(lambda n: n.conv(3, 4)); net.output(classes)",
            r"layer 'block1': the branch makes \(8, 8, 2\) into \(6, 6, 4\), the shortcut into "
            r"\(8, 8, 2\)",
        ),
        ("def f(net, classes): net.conv(3, 4, stride=1.5)", "layer 'conv1': window .* stride 1.5"),
        ("def f(net, classes): net.conv(3, 4, stride=0)", "layer 'conv1': window"),
        ("def f(net, classes): net.conv(3, 4, padding=-1)", "layer 'conv1': padding"),
        ("def f(net, classes): net.conv(3, 4, padding=(1, 1))", "layer 'conv1': padding"),
        ("def f(net, classes): net.conv(3, 4, init='hee')", "layer 'conv1': .*init='hee'"),
        ("def f(net, classes): net.conv(3, 4, activation='rleu')", "layer 'conv1': .*'relu'"),
        ("def f(net, classes): net.conv(3, 4, pool=2)", "layer 'pool1': pool=2: expected"),
        ("def f(net, classes): raise SystemExit(3)", "SystemExit: 3"),
        ("f = max", "no signature|expected def NAME"),
        (
            "from minibp.layers import ReLU\n"
            "def f(net, classes):\n"
            "    net.add(ReLU(name='a'))\n    net.add(ReLU(name='a'))\n    net.output(classes)",
            "distinct names.*a, a",
        ),
        (
            "import numpy as np\nfrom minibp.layers import Linear\n"
            "def f(net, classes):\n    net.add(Linear(np.eye(3), name='odd'))",
            r"layer 'odd' does not take inputs of shape \(8, 8, 2\)",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_any_work(tmp_path, code, match):
    (tmp_path / "f.py").write_text(code)
    with pytest.raises(InputError, match=match):
        build(f"{tmp_path / 'f.py'}:f")


def test_names_in_a_branch_and_its_shortcut_do_not_meet():
    """A block before whose convolutions a ReLU comes, one of vectors, one of blocks."""

    def pre_activated(net):
        net.activation("relu")
        net.conv(3, 4, padding=1, activation=None)

    def vector(net):
        net.fc(5)

    def mean(net):
        net.global_avg_pool()

    def nested(net):
        net.residual(pre_activated, pre_activated)

    for part in (pre_activated, vector, mean, nested):

        def net_of(net, classes, part=part):
            net.residual(part, part)
            net.output(classes)

        paths = [path for path, _ in build(net_of, "frSF+BN").walk()]
        assert len(set(paths)) == len(paths) > 3


def test_layers_that_were_added_count_as_weights():
    def added(net, classes):
        net.add(Flatten(name="flat"))
        net.add(Linear(np.zeros((128, classes)), name="top"))

    assert [layer.path for layer in build(added).weighted] == ["top"]


def test_numpys_integers_are_sizes():
    def net_of(net, classes):
        one, four = np.int64(1), np.int64(4)
        net.conv(np.int64(3), four, stride=one, padding=one, pool=("max", np.int64(2), one))
        net.fc(four)
        net.output(np.int64(classes))

    net = build(net_of, shape=np.array(SHAPE))
    assert net.input_shape == SHAPE
    assert all(type(size) is int for layer in net.weighted for size in layer.W.shape)


@pytest.mark.parametrize("last", ["convolution", "block"])
def test_the_last_layer_with_weights_keeps_V_is_W(last):
    def net_of(net, classes):
        net.conv(3, 4, padding=1)
        if last == "block":
            net.residual(lambda net: net.conv(1, 4, activation=None))
        net.conv(1, classes, activation=None)
        net.global_avg_pool()

    net = build(net_of, "frSF", feedback_layers="all but last")
    assert [layer.V is layer.W for layer in net.weighted] == [False] * (len(net.weighted) - 1) + [
        True
    ]


def test_functions_are_called_by_their_names():
    def wrong(net, classes):
        net.fc(7)

    for function in (wrong, functools.partial(wrong)):
        with pytest.raises(InputError, match=r"network wrong ends in outputs of shape \(7,\)"):
            build(function)
    with pytest.raises(InputError, match=r"network wrong: .* 'my_net.py:small'"):
        paper_experiment("digits", wrong, Condition())


@pytest.mark.parametrize("shape", [8, (8, 8), (8, 8, 0), (8, 8, 1.5), "8"])
def test_shapes_that_are_none(shape):
    with pytest.raises(InputError, match=r"network small: shape .* \(H, W, C\) or \(I,\)"):
        build(small, shape=shape)


def test_table_1_keeps_its_input_shape():
    assert build("mnist", shape=(28, 28, 1)).input_shape == (28, 28, 1)
    with pytest.raises(InputError, match=r"mnist takes inputs of shape \(28, 28, 1\), not"):
        build("mnist")
    with pytest.raises(InputError, match="give the shape"):
        build(small, shape=None)
    with pytest.raises(InputError, match=r"unknown network 'minst'; did you mean 'mnist'"):
        get_network("minst")


def test_layers_are_those_of_the_blocks():
    def net_of(net, classes):
        net.conv(3, 4, pool=("max", 2, 2))
        net.conv(1, 4, pool=("avg", 1, 1))
        net.fc(5)
        net.output(classes)

    kinds = [type(layer) for layer in build(net_of, "BN").layers]
    assert {Conv2D, MaxPool2D, AvgPool2D, Linear} < set(kinds)
    assert kinds.count(BatchNorm) == 3


CODE = """
def small(net, classes):
    net.conv(3, 4, padding=1, pool=("max", 2, 2), init="he")
    net.residual(lambda net: net.conv(3, 4, padding=1, activation=None, init="he"))
    net.activation("relu")
    net.global_avg_pool()
    net.output(classes, init="he")
"""


def script(name, *flags, folder):
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, flags), "--quiet"],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("kernels", [pytest.param("plain", marks=pytest.mark.slow), "compiled"])
def test_a_users_network_by_the_command_line(tmp_path, kernels):
    """It trains, resumes to the same bits, and knows when its file has changed."""
    (tmp_path / "net.py").write_text(CODE)
    flags = ["--network", "net.py:small", "--condition", "frSF+BN+BM", "--train-limit", 60]
    flags += ["--rate-factors", 1, "--kernels", kernels, "--set", "bn_batches=2", "--threads", 1]
    whole = script("train", *flags, "--epochs", 2, "--out", "whole", folder=tmp_path)
    assert whole.returncode == 0, whole.stderr
    record = read_json(tmp_path / "whole" / "run.json")
    assert record["settings"]["network"] == "net.py:small"
    assert list(record["files"]) == ["net.py"]
    path = tmp_path / "whole" / "rate-1" / "checkpoint.h5"
    before, _ = checkpoint.load(path)
    for name in ("run.json", "checkpoint.h5"):  # as if it had been cut off after an epoch
        (tmp_path / "whole" / "rate-1" / name).unlink()
    again = script("train", *flags, "--epochs", 2, "--out", "whole", "--resume", folder=tmp_path)
    assert again.stdout == whole.stdout, again.stderr
    after, _ = checkpoint.load(path)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    (tmp_path / "net.py").write_text(CODE + "# edited\n")
    edited = script("train", *flags, "--epochs", 2, "--out", "whole", "--resume", folder=tmp_path)
    assert edited.returncode == 2
    assert "the network's text was net.py of SHA-256" in edited.stderr
    swept = script(
        *("sweep", "--network", "net.py:small", "--conditions", "SGD", "uSF+BN"),
        *("--train-limit", 60, "--epochs", 1, "--rate-factors", 1, "--workers", 0),
        *("--kernels", kernels),
        folder=tmp_path,
    )
    assert swept.stdout.startswith("2 of 2 runs done"), swept.stderr
    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "report.py"), "runs/sweep"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
