"""A user's own data, and made-up data."""

import io
import os
import re
import tarfile
import warnings
import zipfile

import h5py
import miniatures
import numpy as np
import pytest
from minibp_datasets import registry, synthetic
from PIL import Image

from minibp import Condition
from minibp.errors import DamagedFileError, InputError
from minibp.study.networks import NETWORKS, input_shape
from minibp.study.recipe import PaperRecipe
from minibp.training.run import Run


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


def classes_of(tmp_path, *prefixes, **options):
    place = make_folder(tmp_path / "own", pictures(*prefixes, **options))
    return load(f"folder:{place}")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("Train", "Tests"),
        ("train2017", "val2017"),
        ("train", "eval"),
        ("train", "dev"),
        ("TrainImages", "TestImages"),
    ],
)
def test_parts_by_the_names_that_people_give(tmp_path, train, test):
    data = classes_of(tmp_path, f"{train}/", f"{test}/")
    assert (len(data.y_train), len(data.y_test), data.class_names) == (10, 10, ("cat", "dog"))
    for name, part in ((train, "train"), (test, "test")):
        assert f"{name.partition('/')[0]} taken to {part}" in data.note


def test_evaluation_is_the_test_and_development_is_not(tmp_path):
    files = pictures("train/") | pictures("dev/", each=1) | pictures("eval/", each=2)
    files |= {"unlabelled/1.png": miniatures.image(50)}
    data = load(f"folder:{make_folder(tmp_path / 'own', files)}")
    assert (len(data.y_train), len(data.y_test)) == (10, 4)
    assert "3 images of dev, unlabelled left out" in data.note


@pytest.mark.parametrize("names", [("train", "extra"), ("test", "val"), ("fold1", "fold_2")])
def test_folders_that_look_like_parts_are_asked_about(tmp_path, names):
    with pytest.raises(DamagedFileError, match=rf"{names[0]}.*looks? like (a )?parts?, not"):
        classes_of(tmp_path, *(f"{name}/" for name in names))


@pytest.mark.parametrize("names", [("train", "plane"), ("bullet_train", "test_tube")])
def test_classes_that_are_named_like_parts(tmp_path, names):
    files = {f"{name}/{k}.png": miniatures.image(40 + k) for name in names for k in range(5)}
    assert load(f"folder:{make_folder(tmp_path / 'own', files)}").class_names == tuple(
        sorted(names)
    )


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_images_as_people_have_them(tmp_path):
    files = pictures("", size=(40, 30))
    grey = Image.fromarray(np.full((30, 40), 30000, np.uint16))
    colour, exif = Image.new("RGB", (40, 30), (200, 100, 50)), Image.Exif()
    exif[0x0112] = 6
    odd = {
        "cmyk.jpg": saved(colour.convert("CMYK"), "JPEG"),
        "palette.gif": saved(colour.convert("P"), "GIF"),
        "alpha.png": saved(colour.convert("RGBA"), "PNG"),
        "deep.png": saved(grey, "PNG"),
        "bilevel.png": saved(colour.convert("1"), "PNG"),
        "phone.jpg": saved(colour, "JPEG", exif=exif),
        "plain.jfif": saved(colour, "JPEG"),
    }
    place = make_folder(tmp_path / "own", files | {f"cat/{name}": odd[name] for name in odd})
    data = load(f"folder:{place}")
    assert len(data.y_train) + len(data.y_test) == 10 + len(odd)
    assert (
        "images converted: 1 CMYK, 1 bilevel, 1 of more than 8 bits, 1 transparent (now on white), "
        "1 turned by EXIF orientation, 1 with a palette"
    ) in data.note


def test_phone_photographs_are_upright(tmp_path):
    scene, exif = np.zeros((64, 64, 3), np.uint8), Image.Exif()
    scene[:32] = 200
    exif[0x0112] = 6
    upright, lying = Image.fromarray(scene), Image.fromarray(np.rot90(scene))
    files = {f"{name}/{k}.jpg": saved(upright, "JPEG") for name in "ab" for k in range(3)}
    files["b/3.jpg"] = saved(lying, "JPEG", exif=exif)
    data = load(f"folder:{make_folder(tmp_path / 'own', files)}")
    for image in (*data.X_train, *data.X_test):
        assert image[:50].mean() > 150 > 50 > image[-50:].mean()


def test_what_cannot_be_read_is_counted_and_named(tmp_path):
    files = pictures("") | {f"dog/{k}.HEIC": b"ftypheic" for k in range(12)}
    files |= {"cow/notes.txt": b"", "Thumbs.db": b"", ".DS_Store": b""}
    place = make_folder(tmp_path / "own", files)
    (place / "empty").mkdir()
    (place / "cat" / "gone.png").symlink_to("/nowhere/gone.png")
    words = [
        r"12 files of a kind that is not read \(\.heic\) left out: .* and 2 more",
        r"1 link that leads nowhere left out: cat/gone\.png",
        "2 folders without an image that can be read left out: cow, empty",
    ]
    for _ in range(2):  # from the cache, too
        data, told = load_and_listen(f"folder:{place}")
        for text in words:
            assert re.search(text, data.note)
            assert re.search(text, told)
    assert "1 other file left out: cow/notes.txt" in data.note
    assert data.class_names == ("cat", "dog")
    (place / "empty").rmdir()  # and what the cache says of it is not said any more
    data, told = load_and_listen(f"folder:{place}")
    assert "empty" not in data.note + told


def load_and_listen(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load(name)
    return data, "\n".join(str(each.message) for each in caught)


def test_empty_class_folders_in_archives_and_parts(tmp_path):
    path = tmp_path / "own.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in pictures("train/", "test/").items():
            file.writestr(name, content)
        file.writestr("train/cow/", b"")
    with pytest.warns(match="1 folder without an image that can be read left out: cow"):
        assert load(f"folder:{path}").class_names == ("cat", "dog")
    path = tmp_path / "own.tar"
    with tarfile.open(path, "w") as file:
        for name, content in pictures("./").items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo("./cow")
        info.type = tarfile.DIRTYPE
        file.addfile(info)
    with pytest.warns(match="1 folder without an image that can be read left out: cow"):
        assert load(f"folder:{path}").class_names == ("cat", "dog")


def test_more_empty_class_folders_than_others(tmp_path):
    place = make_folder(tmp_path / "own", pictures(""))
    for name in ("cow", "ewe", "fox"):
        (place / name).mkdir()
    with pytest.raises(
        DamagedFileError, match=r"2 classes, but 3 folders without .*: cow, ewe, fox"
    ):
        load(f"folder:{place}")


def test_all_that_is_refused_is_listed_at_once(tmp_path):
    files = pictures("") | {f"dog/bad{k:02}.png": b"<html>" for k in range(12)}
    with pytest.raises(DamagedFileError, match=r"12 images cannot be used.*bad09\.png and 2 more"):
        load(f"folder:{make_folder(tmp_path / 'own', files)}")
    files = pictures("train/", "test/") | {f"test/cow{k:02}/1.png": b"" for k in range(12)}
    with pytest.raises(
        DamagedFileError, match=r"classes 'cow00', .*'cow09' and 2 more, which train"
    ):
        load(f"folder:{make_folder(tmp_path / 'parts', files)}")


def test_classes_that_are_never_tested_are_counted(tmp_path):
    files = pictures("train/", "test/") | {"train/cow/1.png": miniatures.image(40)}
    data = load(f"folder:{make_folder(tmp_path / 'own', files)}")
    assert "1 class never tested: cow" in data.note


def test_most_images_decide_the_size_and_the_network(tmp_path):
    """Not the first in the alphabet."""
    files = pictures("") | {"cat/!.png": miniatures.image(9, (28, 28), "PNG", "L")}
    data = load(f"folder:{make_folder(tmp_path / 'own', files)}")
    assert (data.network, data.X_train.shape[1:]) == ("cifar", (32, 32, 3))
    assert "network cifar by the size of 10 of 11 images" in data.note
    # Photographs of many sizes are not brought to the size of two small ones.
    files = {f"cat/{k}.png": miniatures.image(40, (50 + k, 40), "PNG") for k in range(9)}
    files |= {f"dog/{k}.png": miniatures.image(40, (32, 32), "PNG") for k in range(2)}
    data = load(f"folder:{make_folder(tmp_path / 'other', files)}")
    assert data.network == "image119"


def test_too_few_images(tmp_path):
    with pytest.raises(
        DamagedFileError, match="2 images to train on, 0 to test: expected 2 or more"
    ):
        classes_of(tmp_path, "", each=1)


def test_a_name_that_is_no_utf8(tmp_path):
    place = make_folder(tmp_path / os.fsdecode(b"caf\xe9"), pictures(""))
    data = load(f"folder:{place}")
    for text in (data.name, data.note):
        assert "caf\\xe9" in text.encode().decode()  # it can be written


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
    run = Run(
        PaperRecipe(model="mnist", condition=Condition.parse("frSF+BN+BM"), rate=5e-5, epochs=1),
        data,
    )
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
