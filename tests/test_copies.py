"""copy.deepcopy and pickle of a network, as it is built, while it trains, and fused."""

import copy
import gc
import pickle
import subprocess
import sys
from types import FunctionType, ModuleType

import numpy as np
import pytest
from conftest import make_device

from minibp import Condition, build_network, build_optimizer, softmax_cross_entropy
from minibp.device import Device, get_device
from minibp.errors import DeviceError
from minibp.training.run import train_step

B = 6
WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda pair: pickle.loads(pickle.dumps(pair))}
ways = pytest.mark.parametrize("way", WAYS)
HEADS = ("SGD", "BN+BM", "uSF+BM", "frSF-25+BN", "brSF-25+BN+BM", "RndF")


def trained(device, head, *, fused, name="mnist", steps=1):
    """Return a network and its optimizer, after some steps."""
    net = build_network(name, 5, Condition.parse(head), device, 0, trace=not fused)
    optimizer = build_optimizer(net, net.condition, rate=1e-3)
    train(net, optimizer, range(steps))
    return net, optimizer


def train(net, optimizer, seeds):
    """Train a step for each seed; return the losses."""
    return [float(train_step(net, optimizer, *batch(net, seed))) for seed in seeds]


def batch(net, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(B, *net.input_shape)).astype("float32")
    return net.device.asarray(X), net.device.asarray(rng.integers(0, 5, B))


def arrays(value, found=None, seen=None):
    """Return every NumPy array that can be reached from a value by attributes and containers."""
    found, seen = ([] if found is None else found), ({} if seen is None else seen)
    if id(value) in seen or isinstance(value, type | Device | FunctionType | ModuleType):
        return found
    seen[id(value)] = value
    if isinstance(value, np.ndarray):
        found.append(value)
    elif type(value).__module__.partition(".")[0] in ("minibp", "builtins", "functools"):
        for inner in gc.get_referents(value):
            arrays(inner, found, seen)
    return found


def assert_same(a, b):
    """W, V, what is drawn and what momentum keeps."""
    (net, optimizer), (other, optimizer2) = a, b
    for layer, layer2 in zip(net.layers, other.layers, strict=True):
        for name in layer.params:
            np.testing.assert_array_equal(layer.params[name], layer2.params[name])
    for layer, layer2 in zip(net.weighted, other.weighted, strict=True):
        np.testing.assert_array_equal(layer.V, layer2.V)
        assert (layer.V is layer.W) == (layer2.V is layer2.W)
    for key in optimizer.memory:
        np.testing.assert_array_equal(optimizer.memory[key], optimizer2.memory[key])
    assert net.updates == other.updates


@ways
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("kernels", "fused"), [("plain", 0), ("compiled", 0), ("compiled", 1)])
def test_a_copy_trains_on_as_the_original_does(way, head, kernels, fused):
    pair = trained(make_device(kernels), head, fused=fused)
    other = WAYS[way](pair)
    assert other[0].fused == bool(fused)
    assert train(*pair, (7, 8)) == train(*other, (7, 8))
    assert_same(pair, other)


@ways
@pytest.mark.parametrize("head", ["SGD", "frSF-25+BN", "RndF"])
@pytest.mark.parametrize(("kernels", "fused"), [("plain", 0), ("compiled", 0), ("compiled", 1)])
def test_a_copy_shares_no_memory_with_the_original(way, head, kernels, fused):
    pair = trained(make_device(kernels), head, fused=fused)
    other = WAYS[way](pair)
    mine, others = arrays(pair), arrays(other)
    assert len(mine) >= len(others) > 10  # the original has threads, too
    ends = [(a.__array_interface__["data"][0], a.nbytes) for a in mine]
    for array in others:
        begin = array.__array_interface__["data"][0]
        assert not any(begin < at + size and at < begin + array.nbytes for at, size in ends)


@ways
def test_between_forward_and_backward(way):
    """What the forward left in the workspace goes along."""
    net, optimizer = trained(make_device("compiled"), "frSF+BN", fused=True, name="cifar")
    X, labels = batch(net, 3)
    _, dN = softmax_cross_entropy(net.forward(X, train=True), labels)
    other, _ = WAYS[way]((net, optimizer))
    net.forward(*batch(net, 4)[:1], train=True)  # which writes over the original's arrays
    net.forward(X, train=True)
    for each in (net, other):
        each.backward(dN)
    for a, b in zip(net.weighted, other.weighted, strict=True):
        np.testing.assert_array_equal(a.grads["W"], b.grads["W"])


@pytest.mark.parametrize("fused", [False, True])
def test_a_copy_on_a_gpu(fused):
    device = make_device("cpp")
    net = build_network("mnist", 5, Condition.parse("brSF-25+BN"), device, 0)
    if fused:
        net.fuse()
    pair = net, build_optimizer(net, net.condition, rate=1e-3)
    X, labels = (array[:2] for array in batch(net, 0))
    train_step(*pair, X, labels)
    other = copy.deepcopy(pair)
    assert other[0].device is device
    for each in (pair, other):
        train_step(*each, X, labels)
    for a, b in zip(net.weighted, other[0].weighted, strict=True):
        np.testing.assert_array_equal(device.to_host(a.W), device.to_host(b.W))
        np.testing.assert_array_equal(device.to_host(a.V), device.to_host(b.V))


def test_nothing_is_said_when_copies_go():
    code = (
        "import copy, pickle; from minibp import Condition, build_network; import numpy as np;"
        "net = build_network('mnist', 5, Condition(), None, 0); net.fuse();"
        "X = np.zeros((2, 28, 28, 1), 'float32'); net.forward(X, train=True);"
        "copy.deepcopy(net); pickle.loads(pickle.dumps(net))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize("kernels", ["plain", "compiled"])
def test_a_device_is_a_place(kernels):
    device = get_device("cpu", kernels, threads=2)
    assert copy.deepcopy(device) is device
    loaded = pickle.loads(pickle.dumps(device))
    assert loaded.describe() == device.describe()


def test_a_pickled_gpu_is_the_one_where_it_is_loaded(monkeypatch):
    from test_device import Recorder

    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "cupy", recorder)
    device = get_device("cuda", kernels="plain")
    assert copy.deepcopy(device) is device
    pickled = pickle.dumps(device)
    assert pickle.loads(pickled).describe() == device.describe()
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match="needs CuPy"):
        pickle.loads(pickled)
