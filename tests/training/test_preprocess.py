import h5py
import numpy as np
import pytest

from minibp.errors import InputError
from minibp.training import preprocess
from minibp.training.data import Data


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(300, 4, 4, 3)).repeat(2, axis=1).repeat(2, axis=2)
    contrast = rng.uniform(10, 120, size=(300, 1, 1, 1))
    return (
        (128 + contrast * smooth + rng.normal(scale=5, size=smooth.shape))
        .clip(0, 255)
        .astype(np.uint8)
    )


def test_mean_keeps_the_scale_of_pixels(images):
    out = preprocess.fit("mean", images, "float32")(images)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out + images.mean(axis=0), images, atol=1e-3)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-3)


def test_the_mean_is_the_training_sets(images):
    train, test = images[:200], images[200:]
    out = preprocess.fit("mean", train, "float64")(test)
    np.testing.assert_allclose(out, test - train.mean(axis=0), atol=1e-9)


def test_none(images):
    np.testing.assert_array_equal(preprocess.fit("none", images, "float32")(images), images)


def test_auto_is_the_mean(images):
    np.testing.assert_array_equal(
        preprocess.fit("auto", images, "float64")(images),
        preprocess.fit("mean", images, "float64")(images),
    )


def test_contrast_and_zca_by_the_formula(images):
    """z − z̄, scaled by mean(s)/max(s, 40); then V·diag(e/max(√d, 10))·Vᵀ, e = √mean(d)."""
    Z = images.reshape(300, -1).astype(float)
    Z = Z - Z.mean(axis=0)
    Z = Z - Z.mean(axis=1, keepdims=True)
    s = Z.std(axis=1)
    Z = Z * (s.mean() / np.maximum(s, 40))[:, None]
    d, V = np.linalg.eigh(Z.T @ Z / 300)
    e = np.sqrt(d.mean())
    expected = Z @ V @ np.diag(e / np.maximum(np.sqrt(d.clip(0)), 10)) @ V.T
    out = preprocess.fit("gcn+zca", images, "float64")(images)
    np.testing.assert_allclose(out.reshape(300, -1), expected, atol=1e-8)


def test_strong_directions_are_whitened(images):
    out = preprocess.fit("gcn+zca", images, "float64")(images).reshape(300, -1)
    spread = np.sqrt(np.linalg.eigvalsh(out.T @ out / 300).clip(0))  # rounding can be below 0
    strong = spread[-40:]  # 48 smooth components carry nearly all of the variance
    assert strong.max() / strong.min() < 1.2
    assert 5 < strong.mean() < 100  # tens, like the input


def test_zca_by_its_definition(images):
    """The covariance afterwards is mean(d)·identity on the directions with √d ≥ 10, and
    mean(d)·d/100 on the others, d the eigenvalues before it."""
    out = preprocess.fit("gcn+zca", images, "float64")(images).reshape(300, -1)
    Z = images.reshape(300, -1) - images.reshape(300, -1).mean(axis=0)
    Z -= Z.mean(axis=1, keepdims=True)
    s = Z.std(axis=1, keepdims=True)
    Z *= s.mean() / np.maximum(s, 40)
    d, V = np.linalg.eigh(Z.T @ Z / 300)
    strong = np.sqrt(d.clip(0)) >= 10
    assert 40 < strong.sum() < len(d)
    after = V.T @ (out.T @ out / 300) @ V
    expected = np.diag(d.mean() * np.where(strong, 1, d / 100))
    np.testing.assert_allclose(after, expected, atol=1e-8 * d.mean())


def test_a_whitening_is_fitted_once(images, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIBP_DATA_DIR", str(tmp_path))
    first = preprocess.fit("gcn+zca", images, "float32")(images)
    monkeypatch.setattr(preprocess, "_fit_gcn_zca", None)
    np.testing.assert_array_equal(preprocess.fit("gcn+zca", images, "float32")(images), first)
    with pytest.raises(TypeError):  # other images, or another dtype, are fitted anew
        preprocess.fit("gcn+zca", images[1:], "float32")
    with pytest.raises(TypeError):
        preprocess.fit("gcn+zca", images, "float64")


def test_a_cache_that_cannot_be_written_or_read_is_done_without(images, monkeypatch, tmp_path):
    (tmp_path / "fitted").write_bytes(b"a file where the folder should be")
    expected = preprocess.fit("gcn+zca", images, "float32")(images)
    monkeypatch.setenv("MINIBP_DATA_DIR", str(tmp_path))
    np.testing.assert_array_equal(preprocess.fit("gcn+zca", images, "float32")(images), expected)
    (tmp_path / "fitted").unlink()
    preprocess.fit("gcn+zca", images, "float32")
    (path,) = (tmp_path / "fitted").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(preprocess.fit("gcn+zca", images, "float32")(images), expected)


def test_a_damaged_whitening_is_fitted_anew(images, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIBP_DATA_DIR", str(tmp_path))
    expected = preprocess.fit("gcn+zca", images, "float32")(images)
    (path,) = (tmp_path / "fitted").iterdir()
    with h5py.File(path, "r+") as file:
        file["whiten"][3, 4] = np.nan
    np.testing.assert_array_equal(preprocess.fit("gcn+zca", images, "float32")(images), expected)


def test_a_whitening_of_too_many_inputs():
    with pytest.raises(InputError, match="gcn\\+zca of 42483 inputs"):
        preprocess.fit("gcn+zca", np.zeros((3, 119, 119, 3), np.uint8), "float32")


def test_standardize():
    rng = np.random.default_rng(0)
    X = rng.normal(3, 5, size=(2500, 7)).astype("float32")
    X[:, 4] = 2
    out = preprocess.fit("standardize", X[:2100], "float64")(X)
    np.testing.assert_allclose(out[:2100].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.delete(out[:2100].std(axis=0), 4), 1, atol=1e-5)
    assert (out[:, 4] == 0).all()


@pytest.mark.parametrize("given", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_input_that_is_constant_up_to_rounding_is_only_centred(given, dtype):
    """0.1 is no number of the machine's: its mean is another one, by a last digit."""
    X = np.random.default_rng(0).normal(size=(3000, 3)).astype(given)
    X[:, 0] = 0.1
    X[:, 1] = 1e4 + 0.1 * X[:, 1]  # far from 0, but not constant
    X[::2, 2] = 0.1
    X[1::2, 2] = np.nextafter(X[0, 2], 1)
    prepare = preprocess.fit("standardize", X, dtype)
    test = np.array([[0.1001, 1e4, 0.2]], given)
    assert abs(prepare(test)[0, [0, 2]] - [0.0001, 0.1]).max() < 1e-6
    assert prepare(X)[:, 1].std() == pytest.approx(1, abs=0.02)


def test_unit_makes_pixels_0_to_1():
    X = np.array([[0, 51, 255]], "uint8")
    out = preprocess.fit("unit", X, "float32")(X)
    assert out.dtype == "float32"
    np.testing.assert_array_equal(out, np.array([[0, 0.2, 1]], "float32"))


def test_channels_have_mean_0_and_deviation_1(rng):
    X = rng.normal([3.0, -1.0], [5.0, 0.5], (2500, 3, 4, 2))
    out = preprocess.fit("channels", X, "float64")(X)
    np.testing.assert_allclose(out.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    deviation = np.sqrt(((X - X.mean(axis=0)) ** 2).mean(axis=(0, 1, 2)))
    centre = X.mean(axis=(0, 1, 2))
    full = np.sqrt(((X - centre) ** 2).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(out, (X - centre) / full, rtol=1e-9)
    assert (full != deviation).any()
    with pytest.raises(InputError, match="--preprocess channels of samples"):
        preprocess.fit("channels", X.reshape(2500, -1), "float64")


@pytest.mark.parametrize("kind", ["mean", "gcn+zca", "standardize", "channels", "unit", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_pictures_give_the_same_inputs_in_either_form(images, kind, dtype):
    y = np.arange(300) % 3
    found = []
    for X in (images, images / 255, images.astype("float32") / np.float32(255)):
        data = Data("d", X[:200], y[:200], X[200:], y[200:], classes=3)
        prepare = preprocess.fit(kind, data.X_train, dtype)
        found.append((prepare(data.X_train), prepare(data.X_test)))
    for other in found[1:]:
        np.testing.assert_array_equal(other[0], found[0][0])
        np.testing.assert_array_equal(other[1], found[0][1])
