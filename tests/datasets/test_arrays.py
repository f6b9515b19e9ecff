import h5py
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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("X_train", r"X_train is of Python objects: save it as numbers .*np\.stack\(X_train\)"),
        ("y_test", r"y_test is of Python objects: save it as integers, y_test\.astype\(int\)"),
        ("class_names", r"class_names is of Python objects: save it as text"),
    ],
)
def test_pickled_objects_are_not_loaded(tmp_path, name, words):
    np.savez(tmp_path / "d.npz", **arrays((7,)) | {name: np.array([{}] * 6)})
    with pytest.raises(InputError, match=words):
        registry.load(str(tmp_path / "d.npz"))


def test_what_lies_beside_the_arrays_is_not_read(tmp_path):
    beside = {name: np.array([{}] * 6) for name in ("X", "y", "ids")}
    np.savez(tmp_path / "d.npz", **arrays((7,)) | beside)
    assert registry.load(str(tmp_path / "d.npz")).classes == 3


@pytest.mark.parametrize("suffix", ["h5", "hdf5", "H5"])
def test_a_files_name_says_what_it_is(tmp_path, suffix):
    with h5py.File(tmp_path / f"d.{suffix}", "w") as file:
        for name, array in arrays((7,)).items():
            file[name] = array
    assert registry.load(str(tmp_path / f"d.{suffix}")).classes == 3


def test_other_names_are_listed(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["images"], file["group/X"], file["labels"] = [1], [2], [3]
    with pytest.raises(InputError, match="it has group, images, labels"):
        registry.load(f"h5:{tmp_path / 'd.h5'}")
    np.savez(tmp_path / "d.npz", images=[1], ids=np.array([{}]))
    with pytest.raises(InputError, match="it has images, ids"):
        registry.load(f"npz:{tmp_path / 'd.npz'}")


@pytest.mark.parametrize(
    ("name", "place", "bad", "words"),
    [
        (
            "X",
            (17, 2),
            np.nan,
            "d.npz: X has 1 value that is NaN or infinite, the first in sample 17",
        ),
        ("y", 17, -1, "d.npz: y: label -1 of sample 17 is out of range"),
    ],
)
def test_rows_are_the_files(tmp_path, name, place, bad, words):
    """Not those of the split, which the user has not seen."""
    content = {"X": np.zeros((20, 3)), "y": np.arange(20) % 4}
    content[name][place] = bad
    np.savez(tmp_path / "d.npz", **content)
    with pytest.raises(InputError, match=words):
        registry.load(str(tmp_path / "d.npz"))


@pytest.mark.parametrize(
    ("y", "remedy"),
    [
        (np.array(["cat", "dog", "cow"] * 2), "class_names, y = np.unique"),
        (np.eye(3)[np.arange(6) % 3], r"y\.argmax\(axis=1\)"),
        (np.arange(6)[:, None] % 3, r"y\.ravel\(\)"),
        (np.arange(6) % 3 * 1.0, r"y\.astype\(int\)"),
    ],
)
def test_labels_of_another_kind_have_a_remedy(tmp_path, y, remedy):
    np.savez(tmp_path / "d.npz", X=np.zeros((6, 3)), y=y)
    with pytest.raises(InputError, match=rf"expected \(N,\) integers from 0: {remedy}"):
        registry.load(str(tmp_path / "d.npz"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_train": np.zeros(6, int), "y_test": np.zeros(3, int)}, "1 class: expected 2 or more"),
        ({"class_names": np.array(["a", "b"])}, "class_names has 2 names for 3 classes"),
    ],
)
def test_classes_that_are_none(tmp_path, change, words):
    np.savez(tmp_path / "d.npz", **arrays((7,)) | change)
    with pytest.raises(InputError, match=words):
        registry.load(str(tmp_path / "d.npz"))


def test_renumbered_labels_are_asked_for(tmp_path):
    y = np.arange(50) % 5
    np.savez(tmp_path / "d.npz", X=np.zeros((50, 3)), y=100 * y)
    with pytest.raises(InputError, match=r"of 401 classes only 5 .*np\.unique\(y, return_inverse"):
        registry.load(str(tmp_path / "d.npz"))


def test_unknown_names():
    with pytest.raises(InputError, match="unknown data set 'digit'; did you mean 'digits'"):
        registry.load("digit")
