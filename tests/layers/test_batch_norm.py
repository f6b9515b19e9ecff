import numpy as np
import pytest

from minibp.errors import InputError
from minibp.layers import BatchNorm


@pytest.fixture(params=[(6, 3), (4, 5, 2, 3)], ids=["vectors", "images"])
def X(request, rng):
    return rng.normal(2, 3, size=request.param)


def test_training_normalizes_each_feature(device, X):
    axes = tuple(range(X.ndim - 1))
    Y = device.to_host(BatchNorm(3, eps=1e-4).forward(device.asarray(X), train=True))
    np.testing.assert_allclose(Y.mean(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(Y.var(axis=axes), X.var(axis=axes) / (X.var(axis=axes) + 1e-4))


def test_scale_and_shift(device, X):
    scale, shift = device.asarray([1.0, 2.0, -3.0]), device.asarray([0.0, 10.0, 20.0])
    layer, plain = BatchNorm(3, scale=scale, shift=shift), BatchNorm(3)
    Y = layer.forward(device.asarray(X), train=True)
    Xhat = device.to_host(plain.forward(device.asarray(X), train=True))
    np.testing.assert_allclose(device.to_host(Y), Xhat * [1, 2, -3] + [0, 10, 20], atol=1e-12)
    dY = np.random.default_rng(1).normal(size=X.shape)
    dX, axes = layer.backward(device.asarray(dY)), tuple(range(X.ndim - 1))
    np.testing.assert_allclose(device.to_host(layer.grads["scale"]), (dY * Xhat).sum(axis=axes))
    np.testing.assert_allclose(device.to_host(layer.grads["shift"]), dY.sum(axis=axes))
    plain_dX = plain.backward(device.asarray(dY * [1, 2, -3]))
    np.testing.assert_allclose(device.to_host(dX), device.to_host(plain_dX), atol=1e-13)
    assert plain.grads == {}


@pytest.mark.parametrize("average", ["std", "variance"])
def test_moving_averages_followed_by_hand(device, average):
    """Three batches, α = 0.05: the first counts whole, then 0.95 of the old and 0.05 of the new."""
    rng, layer = np.random.default_rng(0), BatchNorm(2, eps=0.5)
    batches = [rng.normal(k, 1 + k, size=(7, 2)) for k in range(3)]
    for batch in batches:
        layer.forward(device.asarray(batch), train=True)
        layer.observe(0.05, average)
    means = [batch.mean(axis=0) for batch in batches]
    variances = [batch.var(axis=0) + 0.5 for batch in batches]
    weights = [0.95 * 0.95, 0.95 * 0.05, 0.05]
    mean = sum(w * m for w, m in zip(weights, means, strict=True))
    if average == "std":
        std = sum(w * np.sqrt(v) for w, v in zip(weights, variances, strict=True))
    else:
        std = np.sqrt(sum(w * v for w, v in zip(weights, variances, strict=True)))
    np.testing.assert_allclose(device.to_host(layer.mean), mean, rtol=1e-12)
    np.testing.assert_allclose(device.to_host(layer.std), std, rtol=1e-12)
    X = rng.normal(size=(4, 2))
    Y = device.to_host(layer.forward(device.asarray(X), train=False))
    np.testing.assert_allclose(Y, (X - mean) / std, rtol=1e-12)


def test_forget_starts_anew(device, rng):
    layer = BatchNorm(2)
    for batch in rng.normal(size=(2, 5, 2)):
        layer.forget()
        layer.forward(device.asarray(batch), train=True)
        layer.observe(0.05)
    np.testing.assert_allclose(device.to_host(layer.mean), batch.mean(axis=0))


def test_evaluation_needs_moments(device):
    with pytest.raises(RuntimeError, match="no moments"):
        BatchNorm(2).forward(device.asarray(np.zeros((3, 2))), train=False)


def test_a_training_forward_leaves_the_moments_alone(device, rng):
    layer = BatchNorm(2)
    layer.forward(device.asarray(rng.normal(size=(3, 2))), train=True)
    assert layer.mean is None


def test_bad_arguments(device):
    one = device.asarray([1.0, 1.0])
    with pytest.raises(InputError, match="both scale and shift"):
        BatchNorm(2, scale=one)
    with pytest.raises(InputError, match="expects 2 features"):
        BatchNorm(2).forward(device.asarray(np.zeros((3, 4))), train=True)
    X = device.asarray(np.zeros((3, 2)), "float32")
    with pytest.raises(InputError, match="got X in float32"):
        BatchNorm(2, scale=one, shift=one).forward(X, train=True)


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 3)])
def test_one_value_a_feature_is_no_batch(device, shape):
    X = device.asarray(np.arange(3.0).reshape(shape))
    with pytest.raises(InputError, match=r"layer 'bn': a training batch .* two samples or more"):
        BatchNorm(3, name="bn").forward(X, train=True)
    image = device.asarray(np.arange(12.0).reshape(1, 2, 2, 3))
    BatchNorm(3).forward(image, train=True)
