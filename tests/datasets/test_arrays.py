import numpy as np
import pytest
from minibp_datasets import registry

from minibp.errors import InputError


def arrays(shape):
    rng = np.random.default_rng(0)
    return {
        "X_train": rng.uniform(0, 255, size=(6, *shape)),
        "y_train": np.arange(6) % 3,
        "X_test": rng.uniform(0, 255, size=(3, *shape)),
        "y_test": np.arange(3),
    }


@pytest.mark.parametrize(
    ("shape", "network"),
    [
        ((28, 28), "mnist"),
        ((28, 28, 1), "mnist"),
        ((32, 32, 3), "cifar"),
        ((119, 119, 3), "image119"),
        ((1845,), "timit"),
        ((7,), None),
    ],
)
def test_the_network_that_fits(tmp_path, shape, network):
    np.savez(tmp_path / "d.npz", **arrays(shape))
    data = registry.load(str(tmp_path / "d.npz"))
    assert (data.network, data.classes) == (network, 3)
    assert data.X_train.ndim in (2, 4)


def test_more_classes_than_labels(tmp_path):
    np.savez(tmp_path / "d.npz", **arrays((7,)), classes=5, class_names=list("abcde"))
    with pytest.warns(match="no training sample of 2 classes: d, e"):
        data = registry.load(str(tmp_path / "d.npz"))
    assert (data.classes, data.class_names) == (5, tuple("abcde"))


def test_missing_arrays_are_named(tmp_path):
    parts = arrays((7,))
    del parts["y_test"]
    np.savez(tmp_path / "d.npz", **parts)
    with pytest.raises(InputError, match="lacks y_test"):
        registry.load(str(tmp_path / "d.npz"))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 but not more"])
def test_other_files(tmp_path, content):
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(InputError, match="cannot read"):
        registry.load(str(tmp_path / "d.npz"))


def test_pickled_objects_are_not_loaded(tmp_path):
    np.savez(tmp_path / "d.npz", **arrays((7,)) | {"X_train": np.array([{}] * 6)})
    with pytest.raises(InputError, match="cannot read"):
        registry.load(str(tmp_path / "d.npz"))


def test_unknown_names():
    with pytest.raises(InputError, match="unknown data set 'digit'; did you mean 'digits'"):
        registry.load("digit")
