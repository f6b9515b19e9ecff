"""Each of the fifteen data sets from its miniature: by folder and by download, into the cache."""

import functools
import http.server
import threading

import h5py
import miniatures
import numpy as np
import pytest
from minibp_datasets import cache, registry

from minibp.errors import DamagedFileError, InputError
from minibp.models import input_shape

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
    handler = functools.partial(Quiet, directory=str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        train, test = miniatures.make(name, folder, monkeypatch, mirror=url)
        data = load(name)
        server.shutdown()
        thread.join()
    assert (len(data.y_train), len(data.y_test)) == (train, test)
    names = {file.name for file in registry.about(name).files}
    assert names <= {path.name for path in (tmp_path / "cache" / "downloads" / name).iterdir()}
    assert load(name).sha256 == data.sha256  # no server is asked


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
    """The miniature's images have their class in their colour."""
    miniatures.make("caltech101", folder, monkeypatch)
    data = load("caltech101", folder)
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert abs(X[:, 60, 60, 0].astype(int) - y).max() <= 2  # JPEG is not exact
        assert (np.bincount(y) <= 3).all()
    assert "1 classes have fewer than 40 images: class_007" in data.note


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
    with pytest.raises(DamagedFileError, match=r"room_40/image_0001\.jpg is not a whole image"):
        load("indoor67", folder)
    assert list((tmp_path / "cache" / "built").iterdir()) == []


def test_what_a_killed_build_left_is_removed(folder, monkeypatch, tmp_path):
    miniatures.make("svhn", folder, monkeypatch)
    load("svhn", folder)
    (path,) = (tmp_path / "cache" / "built").iterdir()
    left = path.with_name(f".{path.name}.99999999.part")
    path.rename(left)
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


def test_cropping_differs_from_squashing(folder, monkeypatch):
    miniatures.make("stl10", folder, monkeypatch)
    squashed, cropped = (load("stl10", folder, resize=how) for how in ("squash", "crop"))
    assert squashed.sha256 == cropped.sha256  # square images, of which nothing is cut


@pytest.mark.parametrize("label_bytes", [1, 2])
def test_cifar_records_that_are_none(label_bytes):
    from minibp_datasets.cifar10 import parse

    good = miniatures.records(range(3), label_bytes)
    assert len(parse(good, label_bytes)[1]) == 3
    for bad in (b"", good[:-1], good + b"x", b"\xff" * (3072 + label_bytes)):
        with pytest.raises(DamagedFileError):
            parse(bad, label_bytes)
