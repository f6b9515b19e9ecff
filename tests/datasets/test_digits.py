import hashlib

import numpy as np
import pytest
from minibp_datasets import digits, registry
from sklearn.datasets import load_digits

from minibp.errors import InputError


@pytest.fixture(scope="module")
def data():
    return registry.load("digits")


def test_sizes_and_types(data):
    assert data.X_train.shape == (1437, 28, 28, 1)
    assert data.X_test.shape == (360, 28, 28, 1)
    assert data.X_train.dtype == np.uint8
    assert (data.X_train.min(), data.X_train.max()) == (0, 255)
    assert (data.classes, data.network) == (10, "mnist")


def test_the_split_is_fixed_for_good():
    train, test = digits.split(load_digits().target)
    digests = [hashlib.sha256(part.astype("<i8").tobytes()).hexdigest() for part in (train, test)]
    assert digests == [
        "d96def73c7daab649ddd680a3bb17f55bdb068fb4336710c16bb74437c52a7f0",
        "d9101e2e97e19974905f1336a8ef53c03166d6af2c53833be35ff03a33e7e0cd",
    ]
    assert sorted([*train, *test]) == list(range(1797))


def test_the_split_is_stratified(data):
    counts = np.bincount(data.y_test)
    assert counts.tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]


def test_enlarged_images_are_the_same_pictures():
    source = load_digits().images[:50]
    large = digits.enlarge(source)[..., 0] / 255 * 16
    rows = large.reshape(50, 4, 7, 4, 7).mean(axis=(2, 4)).reshape(50, -1)
    for row, small in zip(rows, source.reshape(50, 4, 2, 4, 2).mean(axis=(2, 4)), strict=True):
        assert np.corrcoef(row, small.ravel())[0, 1] > 0.97
    for small, big in zip(source, large, strict=True):
        corners = big[[1, 1, -2, -2], [1, -2, 1, -2]]  # inside the corner pixels of 8x8
        np.testing.assert_allclose(corners, small[[0, 0, -1, -1], [0, -1, 0, -1]], atol=0.1)


def test_it_takes_no_folder(tmp_path):
    with pytest.raises(InputError, match="embedded"):
        registry.load("digits", data_dir=tmp_path)
