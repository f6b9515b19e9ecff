"""Table 1, by numbers worked out from it: each layer's output shape and parameter count."""

import numpy as np
import pytest
from strict_array import StrictDevice

from minibp import Condition, Settings, build_network, get_device
from minibp.errors import InputError
from minibp.layers import BatchNorm

TABLE_1 = {
    ("image119", 102): [
        ("conv1", (56, 56, 48), 9 * 9 * 3 * 48 + 48),
        ("pool1", (28, 28, 48), 0),
        ("conv2", (24, 24, 128), 5 * 5 * 48 * 128 + 128),
        ("pool2", (12, 12, 128), 0),
        ("fc3", (306,), 18432 * 306 + 306),
        ("fc4", (204,), 306 * 204 + 204),
        ("fc5", (102,), 204 * 102 + 102),
    ],
    ("image119", 10): [
        ("fc3", (256,), 18432 * 256 + 256),
        ("fc4", (20,), 256 * 20 + 20),
        ("fc5", (10,), 210),
    ],
    ("mnist", 10): [
        ("conv1", (24, 24, 20), 520),
        ("pool1", (12, 12, 20), 0),
        ("conv2", (8, 8, 50), 25050),
        ("pool2", (4, 4, 50), 0),
        ("fc3", (500,), 400500),
        ("fc4", (10,), 5010),
    ],
    ("cifar", 100): [
        ("conv1", (32, 32, 32), 2432),
        ("pool1", (16, 16, 32), 0),
        ("conv2", (16, 16, 64), 51264),
        ("pool2", (8, 8, 64), 0),
        ("conv3", (8, 8, 64), 102464),
        ("pool3", (4, 4, 64), 0),
        ("fc4", (128,), 131200),
        ("fc5", (100,), 12900),
    ],
    ("svhn", 10): [
        ("conv1", (28, 28, 20), 1520),
        ("pool1", (14, 14, 20), 0),
        ("conv2", (8, 8, 512), 502272),
        ("pool2", (4, 4, 512), 0),
        ("fc3", (40,), 327720),
        ("fc4", (10,), 410),
    ],
    ("timit", 80): [
        ("fc1", (512,), 945152),
        ("fc2", (256,), 131328),
        ("fc3", (80,), 20560),
    ],
}


def shapes_and_counts(network, classes, head="SGD", **settings):
    device = get_device("cpu")
    net = build_network(
        network, classes, Condition.parse(head), device, settings=Settings().replace(**settings)
    )
    X = np.zeros((2, *net.input_shape), "float32")
    found = {}
    for layer in net.layers:
        X = layer.forward(X, train=True)
        found[layer.name] = (X.shape[1:], sum(w.size for w in layer.params.values()))
    return net, found


@pytest.mark.parametrize(("network", "classes"), TABLE_1, ids=str)
def test_table_1(network, classes):
    _, found = shapes_and_counts(network, classes)
    for name, shape, count in TABLE_1[network, classes]:
        assert found[name] == (shape, count)


@pytest.mark.parametrize("network", ["image119", "mnist", "cifar", "svhn", "timit"])
@pytest.mark.parametrize("classes", [2, 17, 300])
def test_any_number_of_classes(network, classes):
    net, found = shapes_and_counts(network, classes)
    assert found[net.layers[-1].name][0] == (classes,)


def test_blocks_in_order():
    net, _ = shapes_and_counts("cifar", 10, "BN")
    assert [layer.name for layer in net.layers] == (
        "conv1 bn1 relu1 pool1 conv2 bn2 relu2 pool2 conv3 bn3 relu3 pool3 flatten"
        " fc4 bn4 relu4 fc5"
    ).split()
    assert [type(layer).__name__ for layer in net.layers if "pool" in layer.name] == [
        "MaxPool2D",
        "AvgPool2D",
        "AvgPool2D",
    ]


@pytest.mark.parametrize("network", ["image119", "mnist", "cifar", "svhn", "timit"])
def test_no_bias_where_bn_follows_and_no_bn_at_the_output(network):
    net, _ = shapes_and_counts(network, 10, "frSF+BN+BM")
    *hidden, last = net.weighted
    assert all(layer.b is None for layer in hidden)
    assert last.b is not None
    assert len(net.batch_norms()) == len(hidden)
    assert all(layer.params == {} for layer in net.batch_norms())
    assert not isinstance(net.layers[-1], BatchNorm)


def test_bn_and_bn_bm_learn_scale_and_shift():
    net, _ = shapes_and_counts("mnist", 10, "BN+BM")
    assert [sorted(layer.params) for layer in net.batch_norms()] == [["scale", "shift"]] * 3
    np.testing.assert_array_equal(net.batch_norms()[0].scale, 1)
    np.testing.assert_array_equal(net.batch_norms()[0].shift, 0)


def test_other_readings_of_the_paper():
    names = lambda **s: [layer.name for layer in shapes_and_counts("mnist", 10, **s)[0].layers]  # noqa: E731
    assert names(block_order="conv-pool-relu")[:3] == ["conv1", "pool1", "relu1"]
    assert [name for name in names(mnist_conv_relu=False) if "relu" in name] == ["relu3"]
    biased, _ = shapes_and_counts("mnist", 10, "BN", bias_before_bn=True)
    assert all(layer.b is not None for layer in biased.weighted)
    half, _ = shapes_and_counts("mnist", 10, "uSF", feedback_layers="all but last")
    assert [layer.V is layer.W for layer in half.weighted] == [False, False, False, True]


@pytest.mark.parametrize(
    ("network", "init", "stds"),
    [
        ("mnist", "paper", [0.01] * 4),
        ("cifar", "paper", [0.01] + [0.05] * 4),
        ("timit", "0.2", [0.2] * 3),
        ("timit", "he", [(2 / 1845) ** 0.5, (2 / 512) ** 0.5, (2 / 256) ** 0.5]),
    ],
)
def test_initial_weights(network, init, stds):
    net, _ = shapes_and_counts(network, 80, init=init)
    assert [layer.W.std() for layer in net.weighted] == pytest.approx(stds, rel=0.1)
    assert all((layer.b == 0).all() for layer in net.weighted)


def test_all_conditions_start_from_the_same_weights():
    first, _ = shapes_and_counts("mnist", 10, "SGD")
    for head in ("frSF-25+BN+BM2 Bottom", "RndF", "BN"):
        other, _ = shapes_and_counts("mnist", 10, head)
        for a, b in zip(first.weighted, other.weighted, strict=True):
            np.testing.assert_array_equal(a.W, b.W)


def test_and_so_do_all_devices_and_types():
    cpu, strict, condition = get_device("cpu"), StrictDevice(), Condition.parse("frSF")
    single = build_network("mnist", 10, condition, cpu)
    double = build_network("mnist", 10, condition, cpu, dtype="float64")
    other = build_network("mnist", 10, condition, strict)
    for a, b, c in zip(single.weighted, double.weighted, other.weighted, strict=True):
        assert (a.W.dtype, b.W.dtype) == ("float32", "float64")
        for name in ("W", "V"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name).astype("float32"))
            np.testing.assert_array_equal(getattr(a, name), strict.to_host(getattr(c, name)))


def test_another_seed_gives_other_weights():
    device = get_device("cpu")
    a, b = (build_network("timit", 3, Condition("frSF"), device, seed=s) for s in (0, 1))
    assert (a.weighted[0].W != b.weighted[0].W).mean() > 0.99
    assert (abs(a.weighted[0].V) != abs(b.weighted[0].V)).mean() > 0.99


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("minst", 10), "did you mean 'mnist'"),
        (("mnist", 1), "classes=1"),
        (("mnist", 2.0), r"classes=2\.0"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(InputError, match=match):
        build_network(*arguments, Condition(), get_device("cpu"))
    with pytest.raises(InputError, match="dtype 'float16'"):
        build_network("mnist", 10, Condition(), get_device("cpu"), dtype="float16")
