"""What holds for both layers with weights: Eqs. 1 and 2, and where V may enter."""

import numpy as np
import pytest
from strict_array import StrictDevice

from minibp.errors import DeviceError, InputError
from minibp.layers import Conv2D, Linear
from minibp.ops import reference

PADDING = (1, 0, 2, 1)


@pytest.fixture(params=["linear", "conv"])
def kind(request):
    return request.param


def make(kind, device, dtype="float64", bias=True):
    """Return a layer with V ≠ W, an input, and an arriving error."""
    rng = np.random.default_rng(0)
    shape = (4, 3) if kind == "linear" else (3, 2, 2, 3)
    W, V, b = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=3)
    put = lambda x: device.asarray(x, dtype)  # noqa: E731
    biases = put(b) if bias else None
    if kind == "linear":
        layer, X = Linear(put(W), biases, name="layer"), rng.normal(size=(5, 4))
    else:
        layer = Conv2D(put(W), biases, stride=2, padding=PADDING, name="layer")
        X = rng.normal(size=(5, 6, 5, 2))
    layer.V = put(V)
    dN = rng.normal(size=layer.forward(put(X), train=False).shape)
    return layer, put(X), put(dN)


def test_forward_uses_W_and_backward_V(kind, device):
    layer, X, dN = make(kind, device)
    N, dX = layer.forward(X, train=True), layer.backward(dN)
    W, V, b, X, N, dN, dX = map(device.to_host, (layer.W, layer.V, layer.b, X, N, dN, dX))
    for k in range(len(X)):
        if kind == "linear":
            expected = reference.forward(X[k], W) + b
            back = reference.backward(dN[k], np.ones(3), V)
        else:
            expected = reference.conv_forward(X[k], W, 2, PADDING) + b
            back = reference.conv_backward(dN[k], V, X[k].shape, 2, PADDING)
        np.testing.assert_allclose(N[k], expected, atol=1e-13)
        np.testing.assert_allclose(dX[k], back, atol=1e-13)


def test_dW_and_db(device):
    layer, X, dN = make("linear", device)
    layer.forward(X, train=True)
    layer.backward(dN)
    hosts = zip(device.to_host(X), device.to_host(dN), strict=True)
    expected = sum(reference.weight_gradient(x, d, np.ones(3)) for x, d in hosts)
    np.testing.assert_allclose(device.to_host(layer.grads["W"]), expected, atol=1e-13)
    np.testing.assert_allclose(
        device.to_host(layer.grads["b"]), device.to_host(dN).sum(axis=0), atol=1e-13
    )


def test_gradients_are_the_same_bits_whatever_V_is(kind, device):
    layer, X, dN = make(kind, device)
    layer.forward(X, train=True)
    layer.backward(dN)
    before = layer.grads
    layer.V = layer.V * 3 + 1
    layer.backward(dN)
    for name in ("W", "b"):
        np.testing.assert_array_equal(
            device.to_host(layer.grads[name]), device.to_host(before[name])
        )


def test_V_is_W_until_something_else_is_assigned(device):
    layer = Linear(device.asarray(np.eye(3)))
    assert layer.V is layer.W
    layer.W += 1
    np.testing.assert_array_equal(device.to_host(layer.V), np.eye(3) + 1)


def test_the_first_layer_needs_no_dX_but_has_a_V(kind, device):
    layer, X, dN = make(kind, device)
    layer.forward(X, train=True)
    assert layer.backward(dN, need_dX=False) is None
    assert sorted(layer.grads) == ["W", "b"]
    assert layer.V.shape == layer.W.shape


def test_no_bias_no_gradient_of_it(kind, device):
    layer, X, dN = make(kind, device, bias=False)
    layer.forward(X, train=True)
    layer.backward(dN)
    assert list(layer.grads) == list(layer.params) == ["W"]


def test_gradients_are_overwritten(kind, device):
    layer, X, dN = make(kind, device)
    layer.forward(X, train=True)
    layer.backward(dN)
    once = device.to_host(layer.grads["W"])
    layer.backward(dN)
    np.testing.assert_array_equal(device.to_host(layer.grads["W"]), once)


def test_single_and_double_precision_agree(kind, device):
    results = []
    for dtype in ("float32", "float64"):
        layer, X, dN = make(kind, device, dtype)
        arrays = [layer.forward(X, train=True), layer.backward(dN), layer.grads["W"]]
        assert all(array.dtype == dtype for array in arrays)
        results.append([device.to_host(array) for array in arrays])
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-5)


def test_backward_without_a_training_forward(kind, device):
    layer, X, dN = make(kind, device)
    with pytest.raises(RuntimeError, match="'layer' without a training forward"):
        layer.backward(dN)
    layer.forward(X, train=True)
    layer.forward(X, train=False)
    with pytest.raises(RuntimeError, match="without a training forward"):
        layer.backward(dN)


def test_the_cache_can_be_printed(kind, device):
    layer, X, dN = make(kind, device)
    layer.forward(X, train=True)
    layer.backward(dN)
    assert type(layer.cache) is dict
    assert "X" in repr(layer.cache)


def test_another_dtype_is_refused(kind, device):
    layer, X, _ = make(kind, device)
    with pytest.raises(InputError, match="computes in float64, got X in float32"):
        layer.forward(X.astype("float32"), train=True)


def test_another_number_of_features_is_refused(kind, device):
    layer, X, _ = make(kind, device)
    with pytest.raises(InputError, match="'layer' expects X"):
        layer.forward(X[..., :1], train=True)


def test_two_devices_are_not_mixed(kind):
    layer, X, _ = make(kind, StrictDevice())
    with pytest.raises(DeviceError, match="two devices were mixed"):
        layer.forward(StrictDevice().to_host(X), train=True)
    with pytest.raises(DeviceError, match="two devices were mixed"):
        layer.V = StrictDevice().to_host(layer.W)


@pytest.mark.parametrize("bad", [lambda W: W[:1], lambda W: W.astype("float32")])
def test_V_must_be_like_W(kind, device, bad):
    layer, *_ = make(kind, device)
    with pytest.raises(InputError, match="expected W's"):
        layer.V = bad(layer.W)


def test_constructors_check_shapes(device):
    W = device.asarray(np.zeros((3, 2)))
    with pytest.raises(InputError, match="b has shape"):
        Linear(W, device.asarray(np.zeros(3)))
    with pytest.raises(InputError, match=r"expected \(kh, kw, C, J\)"):
        Conv2D(W)
    with pytest.raises(InputError, match=r"expected \(I, J\)"):
        Linear(W.reshape(1, 1, 3, 2))
    with pytest.raises(InputError, match="stride 0"):
        Conv2D(W.reshape(1, 1, 3, 2), stride=0)
