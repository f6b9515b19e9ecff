"""Each of the fifteen data sets from its miniature: by folder and by download, into the cache."""

import contextlib
import errno
import functools
import http.server
import io
import os
import tarfile
import threading
from pathlib import Path

import h5py
import miniatures
import numpy as np
import pytest
from minibp_datasets import cache, registry

from minibp.errors import DamagedFileError, InputError
from minibp.files import read_json
from minibp.study.networks import input_shape

AUTOMATIC = [name for name in registry.MODULES if not registry.about(name).by_hand]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBP_DATA_DIR", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "originals").mkdir()
    return tmp_path / "originals"


def load(name, folder=None, **options):
    return registry.load(name, data_dir=folder, quiet=True, **options)


def test_the_names_are_the_papers():
    assert list(registry.MODULES) == list(miniatures.MAKERS)
    assert len(registry.MODULES) == 15


@pytest.mark.parametrize("name", miniatures.MAKERS)
def test_from_a_folder(name, folder, monkeypatch, tmp_path):
    train, test = miniatures.make(name, folder, monkeypatch)
    data = load(name, folder)
    assert (len(data.y_train), len(data.y_test)) == (train, test)
    assert data.name == name
    assert data.network == registry.about(name).network
    assert data.X_train.shape[1:] == data.X_test.shape[1:] == input_shape(data.network)
    assert data.X_train.dtype == (np.float32 if name == "timit80" else np.uint8)
    assert len(data.class_names) == data.classes
    assert ("unverified" in data.note) == (not registry.about(name).verifiable)
    assert np.unique(data.y_train).tolist() == list(range(data.classes))

    (path,) = (tmp_path / "cache" / "built").iterdir()
    before = path.stat().st_mtime_ns
    again = load(name, folder)
    assert path.stat().st_mtime_ns == before
    assert again.sha256 == data.sha256
    sources = cache.provenance(path)["sources"]
    assert sources
    assert all({"file", "verified_by"} <= source.keys() for source in sources)


@pytest.mark.parametrize("name", AUTOMATIC)
def test_by_download(name, folder, monkeypatch, tmp_path):
    with served(folder, monkeypatch) as url:
        train, test = miniatures.make(name, folder, monkeypatch, mirror=url)
        data = load(name)
    assert (len(data.y_train), len(data.y_test)) == (train, test)
    names = {file.name for file in registry.about(name).files}
    assert names <= {path.name for path in (tmp_path / "cache" / "downloads" / name).iterdir()}
    assert load(name).sha256 == data.sha256  # no server is asked


@contextlib.contextmanager
def served(folder, monkeypatch):
    """Give the address of a server of a folder's files."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize("name", [name for name in miniatures.MAKERS if name not in AUTOMATIC])
def test_what_has_to_be_got_by_hand_says_so(name, tmp_path, folder, monkeypatch):
    with pytest.raises(InputError) as error:
        load(name)
    place = tmp_path / "cache" / "downloads" / name
    for text in (registry.about(name).by_hand, str(place), "--data-dir"):
        assert text in str(error.value)
    place.parent.mkdir(parents=True)
    place.mkdir()
    train, test = miniatures.make(name, place, monkeypatch)
    data = load(name)  # now it is where the error said
    assert (len(data.y_train), len(data.y_test)) == (train, test)


@pytest.mark.parametrize("name", ["cifar10", "svhn", "caltech101", "lfw-id"])
def test_another_file_under_the_originals_name_is_refused(name, folder, monkeypatch, tmp_path):
    miniatures.MAKERS[name](folder, monkeypatch)  # the module still expects the original
    with pytest.raises(DamagedFileError, match=rf"is not the published file.*--unverified {name}-"):
        load(name, folder)
    assert not (tmp_path / "cache" / "built").exists()
    place = folder if name == "svhn" else next(folder.iterdir())
    data = load(f"{name}-mine", place, unverified=True)
    assert data.name == f"{name}-mine"
    assert data.note.startswith(f"{name}-mine: an unverified copy or part of")


def test_a_copy_in_another_form_needs_its_own_name(folder, monkeypatch):
    miniatures.MAKERS["cifar10"](folder, monkeypatch)
    (folder / "cifar-10-binary.tar.gz").rename(folder / "other.tar.gz")
    with pytest.raises(InputError, match=r"none of the published files.*--unverified cifar10-"):
        load("cifar10", folder)


def test_the_classes_drawn_depend_on_the_seed(folder, monkeypatch):
    miniatures.make("caltech256-101", folder, monkeypatch)
    first, same, other = (load("caltech256-101", folder, seed=seed) for seed in (0, 0, 1))
    assert first.class_names == same.class_names != other.class_names
    assert "clutter" not in first.class_names + other.class_names


def test_each_sample_is_the_one_that_its_label_says(folder, monkeypatch):
    """The miniature's images have their class in their red, and which one it is in their green."""
    miniatures.make("caltech101", folder, monkeypatch)
    data = load("caltech101", folder)
    seen = []
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert abs(X[:, 60, 60, 0].astype(int) - y).max() <= 2  # JPEG is not exact
        assert (np.bincount(y) <= 3).all()
        seen += [(label, round(int(x[60, 60, 1]) / 40)) for x, label in zip(X, y, strict=True)]
    assert len(set(seen)) == len(seen) == 509  # none in both parts, none twice
    assert "1 classes have fewer than 40 images: class_007" in data.note


def test_the_samples_drawn_depend_on_the_seed(folder, monkeypatch):
    miniatures.make("lfw-id", folder, monkeypatch)
    assert load("lfw-id", folder).sha256 != load("lfw-id", folder, seed=1).sha256


def test_cifar_pixels_are_where_they_were(folder, monkeypatch):
    miniatures.make("cifar10", folder, monkeypatch)
    data = load("cifar10", folder)
    planes = np.frombuffer(miniatures.records(range(10)), np.uint8).reshape(10, 3073)[:, 1:]
    for record, image in zip(planes, data.X_test, strict=True):
        np.testing.assert_array_equal(
            image[5, 7], [record[5 * 32 + 7 + 1024 * c] for c in range(3)]
        )
    assert data.y_test.tolist() == list(range(10))


def test_svhns_label_10_is_the_digit_0(folder, monkeypatch):
    miniatures.make("svhn", folder, monkeypatch)
    data = load("svhn", folder)
    assert data.y_test.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    X = miniatures.rng().integers(0, 256, (32, 32, 3, 10))
    np.testing.assert_array_equal(data.X_test[3], X[..., 3])


def test_stl10_is_read_column_by_column(folder, monkeypatch):
    from minibp_datasets import stl10

    content = miniatures.rng().bytes(2 * 27648)
    images = stl10.parse_images(content)
    flat = np.frombuffer(content, np.uint8)
    for channel in range(3):
        assert images[1, 10, 20, channel] == flat[27648 + channel * 9216 + 20 * 96 + 10]


def test_timits_frames_are_of_the_phone_they_say(folder, monkeypatch):
    from minibp_datasets import speech, sphere

    miniatures.make("timit80", folder, monkeypatch)
    data = load("timit80", folder)
    file = next(folder.rglob("SX10.WAV"))
    x = speech.features(sphere.read(file.read_bytes(), "x")[1], 16000)
    vectors = {speech.in_context(x, k).tobytes(): k for k in range(len(x))}
    found = [vectors.get(row.tobytes()) for row in data.X_train]
    assert None not in found  # all miniature recordings are the same
    for label, frame in zip(data.y_train, found, strict=True):
        centre = 160 * frame + 200
        phone, third = data.class_names[label].split()
        assert phone == ["h#", "aa", "s", "iy"][centre // 4000]
        assert third == ["beginning", "middle", "end"][3 * (centre % 4000) // 4000]


def test_a_damaged_cache_is_noticed(folder, monkeypatch, tmp_path):
    miniatures.make("svhn", folder, monkeypatch)
    load("svhn", folder)
    (path,) = (tmp_path / "cache" / "built").iterdir()
    with h5py.File(path) as file:
        offset = file["X_train"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="damaged: remove it"):
        load("svhn", folder)
    path.write_bytes(content[:200])
    with pytest.raises(DamagedFileError, match="damaged"):
        load("svhn", folder)


def test_nothing_is_left_of_a_build_that_fails(folder, monkeypatch, tmp_path):
    miniatures.make("indoor67", folder, monkeypatch)
    files = miniatures.class_images("Images/", [f"room_{k:02d}" for k in range(67)], 3)
    files["Images/room_40/image_0001.jpg"] = b"\xff\xd8 no image"
    miniatures.tar(folder / "indoorCVPR_09.tar", files, "w")
    with pytest.raises(DamagedFileError, match=r"room_40/image_0001\.jpg: not a whole image"):
        load("indoor67", folder)
    assert list((tmp_path / "cache" / "built").iterdir()) == []


def test_what_a_killed_build_left_is_removed(folder, monkeypatch, tmp_path):
    miniatures.make("svhn", folder, monkeypatch)
    load("svhn", folder)
    (path,) = (tmp_path / "cache" / "built").iterdir()
    left = path.with_name(f".{path.name}.99999999-0a1b2c3d.part")
    path.rename(left)
    load("svhn", folder)
    assert left.exists()  # somebody on another machine may be at it
    path.unlink()
    os.utime(left, (0, 0))
    load("svhn", folder)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_changed_files_are_read_anew(folder, monkeypatch):
    miniatures.make("sufrw-id", folder, monkeypatch)
    first = load("sufrw-id", folder)
    (folder / "SUFR_in_the_wild" / "1.jpg").write_bytes(miniatures.image(999, (40, 40)))
    (folder / "SUFR_in_the_wild" / "31.jpg").write_bytes(miniatures.image(999))
    with open(folder / "SUFR_in_the_wild" / "SUFR_in_the_wild_info.txt", "a") as file:
        file.write("1 # Person A\n")
    assert load("sufrw-id", folder).sha256 != first.sha256


@pytest.mark.parametrize("name", ["caltech101", "flowers17", "sufrw-id", "icubworld", "indoor67"])
def test_cropping_differs_from_squashing(name, folder, monkeypatch):
    monkeypatch.setattr(miniatures, "image", striped)
    miniatures.make(name, folder, monkeypatch)
    squashed, cropped = (load(name, folder, resize=how) for how in ("squash", "crop"))
    assert squashed.X_train[0, 60, 2, 0] > 200 > 50 > cropped.X_train[0, 60, 2, 0]


def striped(value, size=(20, 16), format="JPEG", mode="RGB"):
    """Return a wide image that is white at both sides, where a square cut does not reach."""
    from PIL import Image

    picture = np.full((40, 120, 3), 40, np.uint8)
    picture[:, :30] = picture[:, 90:] = 255
    picture[0, 60] = value % 256
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, format=format)
    return file.getvalue()


def test_copies_beside_each_other_are_no_data_set(folder, monkeypatch):
    miniatures.make("pubfig83-id", folder, monkeypatch)
    files = miniatures.class_images("raw/", "ABCDE", 6) | miniatures.class_images(
        "new/", "ABCDE", 6
    )
    miniatures.tar(folder / "pubfig83.v1.tgz", files)
    with pytest.raises(DamagedFileError, match="two folders are named 'A'"):
        load("pubfig83-id", folder)


def test_other_images_beside_a_list_are_not_its(folder, monkeypatch):
    miniatures.make("sufrw-id", folder, monkeypatch)
    before = load("sufrw-id", folder).sha256
    (folder / "zother").mkdir()
    for k in range(30):
        (folder / "zother" / f"{k + 1}.jpg").write_bytes(miniatures.image(999))
    assert load("sufrw-id", folder).sha256 == before


def test_one_file_is_not_both_parts(folder, monkeypatch):
    miniatures.make("svhn", folder, monkeypatch)
    with pytest.raises(InputError, match="is one file of several"):
        load("svhn", folder / "train_32x32.mat")
    (folder / "train_32x32.mat").rename(folder / "mine.mat")
    with pytest.raises(InputError, match="is one file of several"):
        load("svhn-x", folder / "mine.mat", unverified=True)


LACKING = {  # what cannot be had, or not from everybody
    "mnist": ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"],
    "svhn": ["test_32x32.mat"],
    "flowers17": ["datasplits.mat"],
    "flowers102": ["setid.mat"],
    "indoor67": ["TestImages.txt"],
}


@pytest.mark.parametrize("name", LACKING)
def test_a_copy_without_its_test_part_is_split_by_the_seed(name, folder, monkeypatch):
    train, _ = miniatures.make(name, folder, monkeypatch)
    for file in LACKING[name]:
        (folder / file).unlink()
    if name.startswith(("flowers", "indoor")):  # an archive beside other things is to be unpacked
        path = folder / registry.about(name).files[0].name
        with tarfile.open(path) as file:
            file.extractall(folder, filter="data")
        path.unlink()
    with pytest.raises(InputError):
        load(name, folder)
    first, same, other = (
        load(f"{name}-mine", folder, unverified=True, seed=seed) for seed in (0, 0, 1)
    )
    sizes = len(first.y_train), len(first.y_test)
    assert f"without its published split: {sizes[0]}/{sizes[1]} drawn by seed 0" in first.note
    assert first.note.startswith(f"{name}-mine: an unverified copy or part of")
    assert sizes[0] >= sizes[1] > 0
    assert sum(sizes) >= train
    assert first.sha256 == same.sha256 != other.sha256


def test_stl10_without_its_test_files(tmp_path, monkeypatch):
    place = tmp_path / "stl10_binary"
    place.mkdir()
    labels = np.arange(20) % 10 + 1
    pixels = (20 * labels).astype(np.uint8).repeat(3 * 96 * 96)
    (place / "train_X.bin").write_bytes(pixels.tobytes())
    (place / "train_y.bin").write_bytes(labels.astype(np.uint8).tobytes())
    for where in (place, tmp_path):
        data = load("stl10-mine", where, unverified=True)
        assert (len(data.y_train), len(data.y_test)) == (10, 10)
        assert "without its published split: 10/10 drawn by seed 0" in data.note
        for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
            assert (X[:, 60, 60, 0] == 20 * (y + 1)).all()


def test_a_batch_twice(folder):
    for name in ("data_batch_1.bin", "copy/data_batch_1.bin"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(miniatures.records(range(10)))
    with pytest.raises(DamagedFileError, match="has a batch twice"):
        load("cifar10-x", folder, unverified=True)


@pytest.mark.parametrize("word", ["", "a/b", "a b", "../x", "x" * 41])
def test_names_of_copies(word, folder):
    with pytest.raises(InputError, match="word of your own of letters and digits"):
        load(f"cifar10-{word}", folder, unverified=True)


def test_a_first_download_that_cannot_be_read_is_not_kept(folder, monkeypatch, tmp_path):
    with served(folder, monkeypatch) as url:
        miniatures.make("flowers17", folder, monkeypatch, mirror=url)
        good = (folder / "datasplits.mat").read_bytes()
        (folder / "datasplits.mat").write_bytes(b"<html>please log in</html>")
        with pytest.raises(DamagedFileError, match="MATLAB"):
            load("flowers17")
        (folder / "datasplits.mat").write_bytes(good)
        data = load("flowers17")
    assert len(data.y_train) == 34
    place = tmp_path / "cache" / "downloads" / "flowers17"
    assert set(read_json(place / "recorded.json")) == {"17flowers.tgz", "datasplits.mat"}
    (place / "datasplits.mat").write_bytes(b"changed")
    for path in (tmp_path / "cache" / "built").iterdir():
        path.unlink()
    with pytest.raises(InputError):
        load("flowers17")


@pytest.mark.parametrize("label_bytes", [1, 2])
def test_cifar_records_that_are_none(label_bytes):
    from minibp_datasets.cifar10 import parse

    good = miniatures.records(range(3), label_bytes)
    assert len(parse(good, label_bytes)[1]) == 3
    for bad in (b"", good[:-1], good + b"x", b"\xff" * (3072 + label_bytes)):
        with pytest.raises(DamagedFileError):
            parse(bad, label_bytes)


REAL = Path(os.environ.get("MINIBP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not (REAL / "caltech101").is_dir(), reason="needs the data that MINIBP_TEST_DATA names"
)


@needs_data
def test_the_real_first_4000_of_cifar10():
    place = REAL / "cifar10" / "data_batch_1_first4000.bin.xz"
    data = load("cifar10-4000", place, unverified=True)
    assert (len(data.y_train), len(data.y_test)) == (3200, 800)
    X = np.concatenate([data.X_train, data.X_test]) / 255
    np.testing.assert_allclose(X.mean(axis=(0, 1, 2)), (0.4914, 0.4822, 0.4465), atol=0.005)
    np.testing.assert_allclose(X.std(axis=(0, 1, 2)), (0.2470, 0.2435, 0.2616), atol=0.003)


@needs_data
@pytest.mark.slow
def test_the_real_caltech101_subset():
    data = load("caltech101-40", REAL / "caltech101", unverified=True)
    assert (len(data.y_train), len(data.y_test), data.classes) == (3060, 949, 102)
    assert "15 classes have fewer than 40 images" in data.note


@needs_data
@pytest.mark.slow
def test_the_real_jpeg_copy_of_cifar10():
    place = REAL / "cifar10" / "cifar10-jpeg-q75.tar.xz"
    data = load("cifar10-jpeg", place, unverified=True)
    assert np.bincount(data.y_train).tolist() == [5000] * 10
    assert np.bincount(data.y_test).tolist() == [1000] * 10
    mean = data.X_train.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(mean, (0.4914, 0.4822, 0.4465), atol=0.001)
    assert "lossy (JPEG)" in data.note


def test_the_data_folder_is_a_file(tmp_path, monkeypatch, folder):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MINIBP_DATA_DIR", str(tmp_path / "file"))
    miniatures.make("svhn", folder, monkeypatch)
    for place in (folder, None):  # to build from a place, to download
        with pytest.raises(InputError, match=r"file.*Not a directory.*Set MINIBP_DATA_DIR to"):
            load("svhn", place)


def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch, folder):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    miniatures.make("svhn", folder, monkeypatch)
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space left") as error:
        load("svhn", folder)
    assert not isinstance(error.value, InputError)
