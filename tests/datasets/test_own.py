"""A user's own data, and made-up data."""

import os

import h5py
import miniatures
import numpy as np
import pytest
from minibp_datasets import registry, synthetic

from minibp import Condition
from minibp.errors import DamagedFileError, InputError
from minibp.models import NETWORKS, input_shape
from minibp.train import Plan, Run


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBP_DATA_DIR", str(tmp_path / "cache"))


def make_folder(place, files):
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def pictures(*prefixes, each=5, size=(32, 32)):
    return {
        f"{prefix}{name}/{k}.png": miniatures.image(100 * label + 40 + k, size, "PNG")
        for prefix in prefixes
        for label, name in enumerate(("cat", "dog"))
        for k in range(each)
    }


def load(name, **options):
    return registry.load(name, quiet=True, **options)


def test_a_folder_of_class_folders(tmp_path):
    place = make_folder(tmp_path / "own", pictures(""))
    data = load(f"folder:{place}")
    assert (len(data.y_train), len(data.y_test), data.class_names) == (8, 2, ("cat", "dog"))
    assert data.network == "cifar"
    assert "split 8/2 by seed 0" in data.note
    assert (data.X_train[:, 0, 0, 0] // 100 == data.y_train).all()
    others = [load(f"folder:{place}", seed=seed).sha256 for seed in range(1, 6)]
    assert len({data.sha256, *others}) > 1
    elsewhere = make_folder(tmp_path / "moved" / "and renamed", pictures(""))
    assert load(f"folder:{elsewhere}").sha256 == data.sha256  # the same split wherever it is


def test_a_folder_with_train_and_test(tmp_path):
    place = make_folder(tmp_path / "own", pictures("train/") | pictures("test/", each=2))
    data = load(f"folder:{place}")
    assert (len(data.y_train), len(data.y_test)) == (10, 4)


def test_an_archive_of_them(tmp_path):
    path = tmp_path / "own.tar.gz"
    miniatures.tar(path, pictures("x/train/", "x/val/", size=(50, 40)))
    data = load(f"folder:{path}")
    assert (data.network, data.X_train.shape) == ("image119", (10, 119, 119, 3))
    other = load(f"folder:{path}", network="mnist")
    assert (other.network, other.X_train.shape) == ("mnist", (10, 28, 28, 1))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "has no images"),
        ({"a.png": miniatures.image(1)}, "in no class folder"),
        ({"cat/a.png": miniatures.image(1)}, "1 class"),
        (pictures("train/", "test/") | {"train/1.png": miniatures.image(1)}, "'train/1.png' is in"),
        (
            pictures("") | {"train/1.png": miniatures.image(1)} | {"1.png": miniatures.image(1)},
            "'1.png' is in no",
        ),
        (pictures("train/") | {"test/cow/1.png": miniatures.image(1)}, "class 'cow'"),
        (
            pictures("train/", "test/") | {"cow/1.png": miniatures.image(1)},
            "'cow/1.png' is in no class folder of train or test",
        ),
    ],
)
def test_folders_that_are_none(tmp_path, files, words):
    (tmp_path / "own").mkdir()
    make_folder(tmp_path / "own", files)
    with pytest.raises(DamagedFileError, match=words):
        load(f"folder:{tmp_path / 'own'}")


def test_folders_around_and_a_part_to_validate(tmp_path):
    files = pictures("x/y/train/", "x/y/test/") | pictures("x/y/val/", each=2)
    data = load(f"folder:{make_folder(tmp_path / 'own', files)}")
    assert (len(data.y_train), len(data.y_test)) == (10, 10)
    assert "4 images of val left out" in data.note


def test_class_folders_that_are_links(tmp_path):
    place = make_folder(tmp_path / "own", {f"cat/{k}.png": miniatures.image(k) for k in range(5)})
    other = make_folder(tmp_path / "other", {f"{k}.png": miniatures.image(k) for k in range(5)})
    (place / "dog").symlink_to(other)
    (place / "dog" / "back").symlink_to(place)  # which leads nowhere new
    assert load(f"folder:{place}").class_names == ("cat", "dog")


def test_moved_images_are_seen(tmp_path):
    """Of the same size and time: the cache of the others is not theirs."""
    place = make_folder(tmp_path / "own", pictures(""))
    first = load(f"folder:{place}")
    a, b, c = place / "cat" / "0.png", place / "dog" / "0.png", place / "0.png"
    for path in (a, b):
        os.utime(path, (0, 0))
    before = load(f"folder:{place}").sha256
    assert before == first.sha256
    a.rename(c), b.rename(a), c.rename(b)
    assert load(f"folder:{place}").sha256 != before


def test_a_folder_for_a_network_without_images(tmp_path):
    place = make_folder(tmp_path / "own", pictures(""))
    with pytest.raises(InputError, match="takes no images"):
        load(f"folder:{place}", network="timit")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load(f"folder:{tmp_path / 'nowhere'}")


def test_only_X_and_y(tmp_path):
    X, y = np.arange(60.0).reshape(20, 3), np.arange(20) % 4
    np.savez(tmp_path / "d.npz", X=X, y=y)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["X"], file["y"] = X, y
    for name in (f"npz:{tmp_path / 'd.npz'}", f"h5:{tmp_path / 'd.h5'}", str(tmp_path / "d.npz")):
        data = load(name)
        assert (len(data.y_train), len(data.y_test), data.classes) == (16, 4, 4)
        rows = np.concatenate([data.X_train, data.X_test])[:, 0] // 3
        assert sorted(rows) == list(range(20))
        assert (data.X_train[:, 0] // 3 % 4 == data.y_train).all()
        assert "split 16/4 by seed 0" in data.note


def test_hdf5_with_four_arrays_and_names(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for part, n in (("train", 6), ("test", 3)):
            file[f"X_{part}"] = np.zeros((n, 28, 28), np.uint8)
            file[f"y_{part}"] = np.arange(n) % 3
        file["class_names"] = ["a", "b", "c"]
        file["classes"] = 3
    data = load(f"h5:{tmp_path / 'd.h5'}")
    assert (data.network, data.class_names) == ("mnist", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": np.array(["cat", "dog"] * 10)}, "expected .N,. integers"),
        ({"y": np.zeros(20)}, "expected .N,. integers"),
        ({"y": np.zeros((20, 2), int)}, "expected .N,. integers"),
        ({"y": np.zeros(0, int), "X": np.zeros((0, 3))}, "y is empty"),
        ({"X": np.zeros(20)}, "expected .20, …."),
        ({"X": np.float64(1)}, "expected .20, …."),
        ({"X": np.zeros((9, 3))}, "expected .20, …."),
        ({"classes": np.array([3, 4])}, "expected an integer"),
        ({"classes": "many"}, "expected an integer"),
        ({"class_names": "cat"}, "expected a list"),
    ],
)
@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_arrays_of_another_kind(tmp_path, kind, change, words):
    content = {"X": np.zeros((20, 3)), "y": np.arange(20) % 4} | change
    path = tmp_path / f"d.{kind}"
    if kind == "npz":
        np.savez(path, **content)
    else:
        with h5py.File(path, "w") as file:
            for name, array in content.items():
                array = np.asarray(array)
                file[name] = array.astype(object) if array.dtype.kind == "U" else array
    with pytest.raises(InputError, match=words):
        load(f"{kind}:{path}")


def test_hdf5_arrays_that_are_not_there(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("X", (10**6, 10**6), "f8")
        file["y"] = np.zeros(3, int)
    with pytest.raises(InputError, match="cannot be as large as it says"):
        load(f"h5:{tmp_path / 'd.h5'}")


def test_hdf5_files_that_are_none(tmp_path):
    (tmp_path / "d.h5").write_bytes(b"hello")
    for name in ("d.h5", "none.h5"):
        with pytest.raises(InputError, match="cannot read"):
            load(f"h5:{tmp_path / name}")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["X"] = np.zeros(3)
    with pytest.raises(InputError, match="lacks X_train"):
        load(f"h5:{tmp_path / 'd.h5'}")


@pytest.mark.parametrize("network", NETWORKS)
def test_made_up_data_for_every_network(network):
    data = load(f"synthetic:{network},classes=3,train=12,test=6")
    assert data.X_train.shape == (12, *input_shape(network))
    assert data.X_train.dtype == (np.float32 if network == "timit" else np.uint8)
    assert data.network == network
    assert np.bincount(data.y_train).tolist() == [4, 4, 4]
    assert data.sha256 == synthetic.load(f"{network},classes=3,train=12,test=6").sha256
    other = load(f"synthetic:{network},classes=3,train=12,test=6,seed=1")
    assert other.sha256 != data.sha256


def test_made_up_data_can_be_learned():
    data = load("synthetic:mnist,train=500,test=200")
    run = Run(Plan("mnist", Condition.parse("frSF+BN+BM"), rate=5e-5, epochs=1), data)
    assert run.advance()["error"] < 10  # 90 is chance


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mnits", "did you mean 'mnist'"),
        ("mnist,class=3", "'class=3'"),
        ("mnist,classes=x", "'classes=x'"),
        ("mnist,classes=²", "'classes=²'"),
        ("image119,train=999999999", "bytes of made-up samples"),
        ("mnist,classes=1", "2 classes or more"),
        ("mnist,classes=9,train=3", "a training sample of each"),
    ],
)
def test_made_up_data_that_cannot_be(text, words):
    with pytest.raises(InputError, match=words):
        load(f"synthetic:{text}")


def test_no_place_for_what_has_one_already(tmp_path):
    for name in ("synthetic:mnist", "npz:x.npz", f"folder:{tmp_path}"):
        with pytest.raises(InputError, match="takes no --data-dir"):
            load(name, data_dir=tmp_path)
