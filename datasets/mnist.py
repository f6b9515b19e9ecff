"""MNIST: the original IDX files, from a folder or downloaded."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from minibp_datasets.download import fetch

from minibp.data import Data
from minibp.errors import DamagedFileError, InputError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
# name: (MD5 of the published .gz, SHA-256 of what is in it)
FILES = {
    "train-images-idx3-ubyte": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": (
        "d53e105ee54ea40749a09fcbcd1e9432",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": (
        "9fb629c4189551a2d022fa330f9573f3",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": (
        "ec29112dd5afa0611ce80d1b7f02629c",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


def load(data_dir: Path | None = None, quiet: bool = False) -> Data:
    """Return 60,000 training and 10,000 test images (N, 28, 28, 1), uint8.

    Raises InputError for a folder that cannot be read or lacks a file, DamagedFileError for a file
    whose contents are not the original's.
    """
    arrays = {name: parse_idx(_contents(name, data_dir, quiet)) for name in FILES}
    return Data(
        name="mnist",
        X_train=arrays["train-images-idx3-ubyte"][..., None],
        y_train=arrays["train-labels-idx1-ubyte"].astype(np.int64),
        X_test=arrays["t10k-images-idx3-ubyte"][..., None],
        y_test=arrays["t10k-labels-idx1-ubyte"].astype(np.int64),
        classes=10,
        network="mnist",
        class_names=tuple("0123456789"),
        note="MNIST, the original files (LeCun, Cortes and Burges; CC BY-SA 3.0)",
    )


def parse_idx(content: bytes) -> np.ndarray:
    """Return the uint8 array of an IDX file: magic 0, 0, 8, number of axes; sizes; values."""
    axes = content[3]
    shape = np.frombuffer(content, ">u4", count=axes, offset=4).astype(int)
    if content[:3] != b"\0\0\x08" or len(content) != 4 + 4 * axes + math.prod(shape):
        raise DamagedFileError("not an IDX file of unsigned bytes.")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _contents(name: str, data_dir: Path | None, quiet: bool) -> bytes:
    md5, sha256 = FILES[name]
    if data_dir is None:
        path = fetch(f"{name}.gz", MIRRORS, f"md5:{md5}", quiet=quiet)
    else:
        path = _find(name, data_dir)
    content = _decompress(path, sha256)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        others = [other for other, (_, checksum) in FILES.items() if checksum == found]
        what = f"it is {others[0]}" if others else "it is truncated, changed or another file"
        raise DamagedFileError(
            f"{path} is not MNIST's {name}: {what}. SHA-256 of its contents: expected {sha256}, "
            f"found {found}."
        )
    return content


def _decompress(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFileError(
            f"{path} cannot be decompressed ({error}). SHA-256 of its contents: expected {sha256}; "
            f"of the compressed file found {hashlib.sha256(content).hexdigest()}."
        ) from error


def _find(name: str, data_dir: Path) -> Path:
    names = (f"{name}.gz", name, name.replace("-idx", ".idx"))
    try:
        present = {path.name for path in data_dir.iterdir()}
    except OSError as error:
        raise InputError(
            f"--data-dir {data_dir}: {error.strerror}. Expected a folder with "
            f"{', '.join(f'{file}.gz' for file in FILES)}, or these without .gz."
        ) from error
    for candidate in names:
        if candidate in present:
            return data_dir / candidate
    raise InputError(
        f"--data-dir {data_dir} has none of {', '.join(names)}. It holds "
        f"{', '.join(sorted(present)[:8]) or 'nothing'}."
    )
