import dataclasses
import hashlib

import numpy as np
import pytest

from minibp.errors import InputError
from minibp.training.data import Data


def arrays(n=100, m=20):
    rng = np.random.default_rng(0)
    return {
        "X_train": rng.integers(0, 256, (n, 4, 4, 1), dtype="uint8"),
        "y_train": np.arange(n) % 5,
        "X_test": rng.integers(0, 256, (m, 4, 4, 1), dtype="uint8"),
        "y_test": np.arange(m) % 5,
    }


@pytest.fixture
def data():
    return Data("d", **arrays(), classes=5)


def test_checksum_depends_on_every_array(data):
    digests = {data.sha256}
    for name in arrays():
        changed = getattr(data, name).copy()
        changed.flat[3] = (int(changed.flat[3]) + 1) % 5
        digests.add(dataclasses.replace(data, **{name: changed}).sha256)
    assert len(digests) == 5
    assert Data("other name", **arrays(), classes=5).sha256 == data.sha256


def test_train_limit_draws_by_seed(data):
    few, again, other = (data.reduced(30, None, seed) for seed in (0, 0, 1))
    assert len(few.y_train) == len(few.X_train) == 30
    np.testing.assert_array_equal(few.X_train, again.X_train)
    assert (few.X_train != other.X_train).any()
    assert few.X_holdout is None
    np.testing.assert_array_equal(few.X_test, data.X_test)


def test_holdout_takes_the_same_share_of_every_class(data):
    split = data.reduced(None, 0.2, seed=0)
    assert np.bincount(split.y_holdout).tolist() == [4] * 5
    assert np.bincount(split.y_train).tolist() == [16] * 5
    images = np.concatenate([split.X_train, split.X_holdout]).reshape(100, -1)
    expected = data.X_train.reshape(100, -1)
    assert sorted(map(bytes, images)) == sorted(map(bytes, expected))  # none lost, none twice
    assert split.describe()["holdout"] == 20


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_bad_limits(data, limit):
    with pytest.raises(InputError, match=f"train limit {limit}: expected 1 to 100"):
        data.reduced(limit, None, 0)


@pytest.mark.parametrize("holdout", [0.0, 1.0, -0.1, 0.001, 0.999, float("nan")])
def test_bad_holdouts(data, holdout):
    with pytest.raises(InputError, match="holdout"):
        data.reduced(None, holdout, 0)


def nan(X):
    X = X.astype("float32")
    X[7, 0, 0] = np.nan
    return X


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("X_train", lambda X: X[:0], "is empty"),
        ("X_train", lambda X: X[:5], r"expected \(5,\), one label a sample"),
        ("X_train", nan, "1 value that is NaN or infinite, the first in sample 7"),
        ("X_train", lambda X: X.astype(int), "expected uint8 or floating point"),
        ("X_train", lambda X: X[..., 0], r"expected \(N, H, W, C\)"),
        ("X_test", lambda X: X[:, :3], "must be the same"),
        ("y_train", lambda y: y + 1, "label 5 of sample 4 is out of range: with 5 classes"),
        ("y_test", lambda y: y - 1, "label -1 of sample 0 is out of range"),
        ("y_test", lambda y: y * 1.0, "expected integers"),
    ],
)
def test_bad_arrays(name, change, match):
    parts = arrays()
    parts[name] = change(parts[name])
    with pytest.raises(InputError, match=match):
        Data("d", **parts, classes=5)


def test_inputs_that_do_not_fit_the_network(data):
    with pytest.raises(InputError, match=r"shape \(4, 4, 1\), but network 'mnist' takes"):
        data.check_fits("mnist", (28, 28, 1))


@pytest.mark.parametrize("stray", [400, 2_000_000_000])
def test_labels_most_of_which_no_sample_has(stray):
    """Without an array as large as the label."""
    parts = arrays()
    parts["y_train"][7] = stray
    words = (
        f"of {stray + 1} classes only 6 .* largest label, {stray}, is that of 1 sample.*renumber"
    )
    with pytest.raises(InputError, match=words):
        Data("d", **parts, classes=stray + 1)


def test_a_few_classes_without_a_training_sample_are_told():
    parts = arrays(20)
    words = "no training sample of 2 classes: 5, cow"
    with pytest.warns(match=words):
        data = Data("d", **parts, classes=7, class_names=("",) * 6 + ("cow",), note="mine")
    assert data.describe()["note"] == f"mine; {words}"
    many = parts | {"y_train": np.arange(20), "y_test": np.zeros(20, int)}
    with pytest.warns(match="20, 21, 22, 23, 24, 25, 26, 27, 28, 29 and 1 more"):
        Data("d", **parts | many, classes=31)


def test_a_part_of_good_data_is_good(data):
    """Even one that lacks most classes: that is the user's wish, and noted."""
    few = data.reduced(2, None, 0)
    assert (
        few.note
        == f"{5 - len(np.unique(few.y_train))} classes without a sample in the part to train on"
    )
    assert data.reduced(60, None, 0).note == data.note == ""


def test_the_record_names_the_classes_in_order():
    data = Data("d", **arrays(), classes=5, class_names=tuple("vwxyz"))
    assert data.describe()["class_names"] == list("vwxyz")


def forms(X):
    """Return bytes in the forms that toolkits give them."""
    return [
        X / 255,
        (X / 255).astype("float32"),
        X.astype("float32") / np.float32(255),
        X * (1 / 255),
        X.astype("float32") * np.float32(1 / 255),
        (X / 255).astype("float32").astype("float64"),
        (X / 255).astype("float16"),
    ]


@pytest.mark.parametrize("form", range(7))
def test_images_as_fractions_are_those_as_bytes(form):
    parts = arrays()
    parts["X_train"].flat[:256] = np.arange(256)  # each value there is
    fractions = {name: forms(parts[name])[form] for name in ("X_train", "X_test")}
    given = {name: X.copy() for name, X in fractions.items()}
    data = Data("d", **parts | fractions, classes=5)
    assert data.X_train.dtype == data.X_test.dtype == np.uint8
    for name in ("X_train", "X_test"):
        np.testing.assert_array_equal(getattr(data, name), parts[name])
        np.testing.assert_array_equal(fractions[name], given[name])  # the user's are untouched
    assert "fractions from 0 to 1, turned into bytes" in data.note
    assert data.reduced(30, 0.5, 0).X_holdout.dtype == np.uint8


def test_the_checksum_is_of_what_was_given():
    parts = arrays()
    fractions = parts | {name: parts[name] / 255 for name in ("X_train", "X_test")}
    data = Data("d", **fractions, classes=5)
    digest = hashlib.sha256()
    for name in ("X_train", "y_train", "X_test", "y_test"):
        array = fractions[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    assert data.sha256 == digest.hexdigest()
    other = dataclasses.replace(data, name="other")  # whose arrays are bytes
    assert (other.sha256, other.note) == (Data("d", **parts, classes=5).sha256, data.note)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fractions_between_bytes_are_scaled(dtype):
    parts, rng = arrays(), np.random.default_rng(1)
    for name in ("X_train", "X_test"):
        parts[name] = rng.random(parts[name].shape).astype(dtype)
    data = Data("d", **parts, classes=5)
    assert data.X_train.dtype == dtype
    np.testing.assert_array_equal(data.X_test, parts["X_test"] * np.dtype(dtype).type(255))
    assert data.note == "fractions from 0 to 1, times 255"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X: X / 127.5 - 1, "pixels from -1 to 1, taken as they are"),
        (lambda X: X * 257.0, "pixels from 0 to 65535, taken as they are"),
        (lambda X: X // 15 * 1.0, "pixels from 0 to 17, taken as they are"),
        (lambda X: X // 128, "pixels from 0 to 1, taken as they are"),
    ],
)
def test_other_pixels_are_told(change, words):
    parts = arrays()
    parts["X_train"][0, 0, 0], parts["X_train"][1, 0, 0] = 0, 255
    changed = {name: change(parts[name]) for name in ("X_train", "X_test")}
    with pytest.warns(match=words):
        data = Data("d", **parts | changed, classes=5)
    assert data.note == words
    np.testing.assert_array_equal(data.X_train, changed["X_train"])


def test_vectors_have_no_scale_of_pixels():
    parts = arrays()
    changed = {name: parts[name].reshape(-1, 16) / 255 for name in ("X_train", "X_test")}
    data = Data("d", **parts | changed, classes=5)
    assert (data.note, data.X_train is changed["X_train"]) == ("", True)


@pytest.mark.parametrize("shape", [(4, 4, 1), (16,)])
def test_bytes_to_train_and_floats_to_test(shape):
    parts = arrays()
    for name in ("X_train", "X_test"):
        parts[name] = parts[name].reshape(-1, *shape)
    parts["X_test"] = parts["X_test"].astype("float32") / 255
    with pytest.raises(InputError, match="X_train has type uint8, X_test float32"):
        Data("d", **parts, classes=5)


def test_floats_of_two_scales():
    parts = arrays()
    parts["X_train"], parts["X_test"] = parts["X_train"] * 1.0, parts["X_test"] / 255
    with pytest.raises(InputError, match="X_train has values from 0 to 255, X_test from"):
        Data("d", **parts, classes=5)


def test_channels_first(data):
    parts = arrays()
    for name in ("X_train", "X_test"):
        parts[name] = parts[name].transpose(0, 3, 1, 2)
    with pytest.raises(InputError, match=r"expected last, np\.moveaxis\(X, 1, -1\)"):
        Data("d", **parts, classes=5).check_fits("mnist", (28, 28, 1))
    with pytest.raises(InputError, match="images in folder: are") as error:
        data.check_fits("mnist", (28, 28, 1))
    assert "moveaxis" not in str(error.value)
