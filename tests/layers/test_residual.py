"""Residual blocks: by themselves, and in a ResNet-20 built by hand."""

import numpy as np
import pytest
from conftest import make_device
from residual_net import Builder, optimizer_of, resnet, small

from minibp import Network, gradcheck
from minibp.errors import InputError
from minibp.fused import ResidualBlock
from minibp.layers import BatchNorm, Conv2D, GlobalAvgPool, Linear, ReLU, Residual
from minibp.layers.sequential import members
from minibp.losses import softmax_cross_entropy
from minibp.training.run import estimate_moments, normalizes_vectors, train_step

B, CLASSES, SHAPE = 3, 4, (6, 6, 2)


def batch(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, *SHAPE)), rng.integers(0, CLASSES, B)


@pytest.mark.parametrize("head", ["SGD", "RndF"])
def test_gradients_of_a_resnet_20(head):
    """V = W: the whole within 1e-7; V ≠ W: each member within 1e-8."""
    net = resnet(make_device("plain"), head)
    assert len(net.weighted) == 20 + 2  # and two strided shortcuts
    report = gradcheck(net, *batch(), directions=1, tolerance=1e-7 if head == "SGD" else 1e-8)
    assert report.ok, report
    rows = {(row.layer, row.array) for row in report.rows}
    assert {("block2-1/conv", "any V"), ("block2-1", "conv2/W"), ("block3-3/bn2", "X")} <= rows
    assert (("E: block1-1/conv1", "W") in rows) == (head == "SGD")


def test_gradients_of_a_block_by_itself(device, rng):
    (block, _) = Builder(device, learns=True).block("block", 2, 3, stride=2)
    for layer in block.children():
        if isinstance(layer, Conv2D):
            layer.V = device.asarray(rng.normal(size=layer.W.shape))
    report = gradcheck(block, device.asarray(rng.normal(size=(B, *SHAPE))), device=device)
    assert report.ok, report
    assert {"block", "block/conv", "block/bn2"} <= {row.layer for row in report.rows}


def test_a_wrong_sum_is_found(rng):
    class Wrong(Residual):
        def backward(self, dY, *, need_dX=True):
            return super().backward(dY) - 0.01 * dY

    report = gradcheck(
        Wrong([Linear(rng.normal(size=(3, 3)))], name="res"), rng.normal(size=(B, 3))
    )
    assert [(row.layer, row.array) for row in report.rows if not row.ok] == [("res", "X")]


def test_an_empty_shortcut_is_the_identity(rng):
    W, V = rng.normal(size=(2, 3, 3))
    layer = Linear(W, name="fc")
    layer.V = V
    block = Residual([layer], name="block")
    X, dY = rng.normal(size=(2, B, 3))
    np.testing.assert_allclose(block.forward(X, train=True), X @ W + X)
    np.testing.assert_allclose(block.backward(dY), dY @ V.T + dY)
    assert block.backward(dY, need_dX=False) is None


def test_shapes_that_do_not_fit():
    net = Network([Residual([Linear(np.ones((3, 2)), name="fc")], name="block")])
    with pytest.raises(
        InputError, match=r"'block': the branch gives \(5, 2\), the shortcut \(5, 3\)"
    ):
        net.forward(np.ones((5, 3)), train=False)


def test_backward_without_a_training_forward():
    block = Residual([], name="block")
    block.forward(np.ones((2, 2)), train=False)
    with pytest.raises(RuntimeError, match="'block' without a training forward"):
        block.backward(np.ones((2, 2)))


def test_first_in_a_network_no_dX_is_computed(device):
    make = Builder(device)
    block, relu = make.block("block", 2, 3, stride=2)
    net = Network(
        [block, relu, GlobalAvgPool(), Linear(make.W(3, CLASSES), name="fc")], device=device
    )
    X, _ = batch()
    net.backward(net.forward(device.asarray(X), train=True))
    dX = {row.name: row.dX for row in net.trace()}
    assert dX["block"] is dX["block/conv1"] is dX["block/conv"] is None
    assert dX["block/conv2"].shape == (B, 3, 3, 3)
    assert [layer.path for layer in net.unused] == ["block/conv1"]


kernels = pytest.mark.parametrize(
    "kernels", ["compiled", "cpp", pytest.param("cuda", marks=pytest.mark.cuda)]
)


@kernels
@pytest.mark.parametrize("head", ["SGD", "RndF", "frSF", "brSF-25"])
def test_fused_steps_are_the_plain_ones(kernels, head):
    """Blocks inside of the branch, too: it has a pool."""
    pytest.importorskip("numba")
    plain, fused = (small(make_device(name), head) for name in ("plain", kernels))
    fused.fuse()
    found = []
    for net in (plain, fused):
        put, optimizer = net.device.asarray, optimizer_of(net)
        losses = [
            train_step(net, optimizer, put(X), put(y)) for X, y in (batch(k) for k in range(3))
        ]
        estimate_moments(net, iter([put(batch()[0])]))
        arrays = {f"{la.path}/V": la.V for la in net.weighted} | net.parameters()
        arrays["N"], arrays["E"] = net.forward(put(batch(7)[0]), train=False), losses[-1]
        found.append({name: net.device.to_host(array) for name, array in arrays.items()})
    assert any(len(getattr(unit, "layers", [])) > 1 for unit in fused.layers[3].branch.units)
    assert found[0].keys() == found[1].keys()
    for name, right in found[0].items():
        np.testing.assert_allclose(found[1][name], right, rtol=0, atol=1e-9 * abs(right).max())
    fused.backward(fused.forward(fused.device.asarray(batch()[0]), train=True))
    assert [row.name for row in fused.trace()] == [path for path, _ in fused.walk()]


@pytest.mark.parametrize("head", ["SGD", "RndF"])
def test_no_layer_writes_to_what_a_block_gives_to_two(head, rng):
    pytest.importorskip("numba")
    net = small(make_device("compiled"), head, pool=False)
    net.fuse()
    block = net.layers[3]
    X, dY = rng.normal(size=(2, B, 6, 6, 3))
    given = X.copy(), dY.copy()
    block.forward(X, train=True)
    block.backward(dY)
    np.testing.assert_array_equal(X, given[0])
    np.testing.assert_array_equal(dY, given[1])


@pytest.mark.parametrize("head", ["SGD", "frSF"])
def test_the_sum_and_its_relu_are_the_branchs_last_step(head):
    """The bits are those of an addition and a ReLU of their own, in single precision, too."""
    pytest.importorskip("numba")
    found = []
    for whole in (True, False):
        make = {"pool": False, "dtype": "float32"}
        net = small(make_device("compiled"), head, **make)
        net.fuse()
        assert any(type(unit) is ResidualBlock for unit in net.units)
        if not whole:
            net.body.units = [
                la
                for unit in net.units
                for la in (members(unit) if type(unit) is ResidualBlock else [unit])
            ]
        X, y = batch()
        for _ in range(2):
            train_step(net, optimizer_of(net), X.astype("f"), y)
        found.append([*net.parameters().values(), net.forward(X.astype("f"), train=True)])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_fused_residual_block_by_itself_has_no_relu(rng):
    pytest.importorskip("numba")
    plain, fused = (small(make_device(kernels), pool=False) for kernels in ("plain", "compiled"))
    fused.fuse()
    X, dY = rng.normal(size=(2, B, 6, 6, 3))
    fused.forward(rng.normal(size=(B, *SHAPE)), train=True)  # as one, before
    found = [
        (net.layers[3].forward(X, train=True), net.layers[3].backward(dY)) for net in (plain, fused)
    ]
    assert (found[0][0] < 0).any()
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-12)


def test_fused_shapes_that_do_not_fit():
    pytest.importorskip("numba")
    make = Builder(make_device("compiled"))
    branch = [make.conv("conv", 3, 2, 3), BatchNorm(3, name="bn")]
    net = Network([Residual(branch, name="block"), ReLU(name="relu")], device=make.device)
    net.fuse()
    with pytest.raises(
        InputError, match=r"'block': the branch gives \(5, 6, 6, 3\), the shortcut \(5, 6, 6, 2\)"
    ):
        net.forward(np.ones((5, 6, 6, 2)), train=True)
    with pytest.raises(RuntimeError, match="'block' without a training forward"):
        net.units[0].backward(np.ones((5, 6, 6, 3)))


def test_single_precision_stays_single(rng):
    block = Residual([Linear(rng.normal(size=(3, 3)).astype("float32"))], name="block")
    X = rng.normal(size=(B, 3)).astype("float32")
    assert block.forward(X, train=True).dtype == block.backward(X).dtype == "float32"


def test_bn_of_vectors_inside_is_seen(rng):
    inner = [Linear(rng.normal(size=(3, 3)), name="fc"), BatchNorm(3, name="bn")]
    assert normalizes_vectors(Network([Residual(inner, name="block")]))
    assert not normalizes_vectors(small(make_device("plain")))


def test_the_loss_goes_down():
    net = small(make_device("plain"), "frSF")
    optimizer, (X, labels) = optimizer_of(net), batch()
    losses = [float(train_step(net, optimizer, X, labels)) for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]
    assert softmax_cross_entropy(net.forward(X, train=True), labels)[0] < losses[0]
