import gzip
import os
import shutil
import struct
from pathlib import Path

import miniatures
import numpy as np
import pytest
from minibp_datasets import idx as format
from minibp_datasets import mnist, registry

from minibp.errors import DamagedFileError, InputError

REAL = Path(
    os.environ.get("MINIBP_TEST_MNIST", Path(__file__).parents[3] / "shared" / "data" / "mnist")
)
needs_mnist = pytest.mark.skipif(
    not REAL.is_dir(), reason="needs MNIST's four files in the folder that MINIBP_TEST_MNIST names"
)


@needs_mnist
def test_the_real_files():
    data = registry.load("mnist", data_dir=REAL)
    assert data.X_train.shape == (60000, 28, 28, 1)
    assert data.X_test.shape == (10000, 28, 28, 1)
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(data.y_train).tolist() == train
    assert np.bincount(data.y_test).tolist() == test
    assert data.X_train.mean() / 255 == pytest.approx(0.13066, abs=1e-5)
    assert data.X_train.std() / 255 == pytest.approx(0.30811, abs=1e-5)


def load(folder):
    return registry.load("mnist", data_dir=folder, quiet=True)


def idx(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype("uint8").tobytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with four small files in MNIST's format, which `mnist` takes for the originals."""
    monkeypatch.setenv("MINIBP_DATA_DIR", str(tmp_path / "cache"))
    place = tmp_path / "originals"
    place.mkdir()
    miniatures.make("mnist", place, monkeypatch)
    return place


def test_recompressed_files_are_fine(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    before = path.read_bytes()
    path.write_bytes(gzip.compress(gzip.decompress(before), compresslevel=1, mtime=0))
    assert path.read_bytes() != before
    assert load(folder).X_train.shape == (30, 28, 28, 1)


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "train-labels.idx1-ubyte"])
def test_decompressed_files_under_either_name(folder, name):
    path = folder / "train-labels-idx1-ubyte.gz"
    (folder / name).write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    assert load(folder).y_train.tolist() == [*range(10)] * 3


def test_swapped_files_are_refused(folder):
    load(folder)  # even where the data is in the cache already
    shutil.copy(folder / "t10k-images-idx3-ubyte.gz", folder / "train-images-idx3-ubyte.gz")
    with pytest.raises(DamagedFileError, match="is not the published file") as error:
        load(folder)
    assert str(folder / "train-images-idx3-ubyte.gz") in str(error.value)
    assert mnist.ABOUT.files[0].checksum in str(error.value)


def test_changed_contents_are_refused(folder):
    path = folder / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DamagedFileError, match=str(path)):
        load(folder)


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"", lambda b: b"hello" + b[5:]])
def test_files_that_cannot_be_decompressed(folder, damage):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedFileError, match=str(path)):
        load(folder)
    with pytest.raises(DamagedFileError, match=str(path)):
        registry.load("mnist-mine", data_dir=folder, quiet=True, unverified=True)


def test_a_missing_file_is_named_with_what_is_there(folder):
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"has no t10k-images-idx3-ubyte\.gz or t10k.*It holds"):
        load(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "nowhere")


def test_idx():
    array = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(format.parse(idx(array)), array)
    with pytest.raises(DamagedFileError, match="25 values"):
        format.parse(idx(array) + b"x")


@pytest.mark.parametrize("length", range(4 + 3 * 4 + 24))
def test_idx_cut_anywhere(length):
    with pytest.raises(DamagedFileError):
        format.parse(idx(np.arange(24).reshape(2, 3, 4))[:length])


@pytest.mark.parametrize(
    "header",
    [b"\0\0\x08\x03" + b"\xff" * 12, b"\0\0\x0d\x01\0\0\0\0", b"\0\0\x08\0", b"\0\0\x08\xff"],
)
def test_idx_headers_that_promise_too_much_or_another_type(header):
    with pytest.raises(DamagedFileError):
        format.parse(header)
