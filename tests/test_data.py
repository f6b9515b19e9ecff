import dataclasses

import numpy as np
import pytest

from minibp.data import Data
from minibp.errors import InputError


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
        ("X_train", nan, "1 values that are NaN or infinite, the first in sample 7"),
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
