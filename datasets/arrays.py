"""A user's own data: arrays in a NumPy .npz or an HDF5 file."""

import math
import zipfile
from pathlib import Path

import h5py
import numpy as np
from minibp_datasets.protocols import split

from minibp.data import Data
from minibp.errors import InputError
from minibp.models import NETWORKS

PARTED = ("X_train", "y_train", "X_test", "y_test")
PACKING = 1032  # bytes that a packed one can become at most
TEST_SHARE = 0.2  # where there are only X and y


def load_npz(path: Path, seed: int = 0) -> Data:
    """Return the data of an .npz file (see `data_of`). No pickle is loaded."""
    try:
        with zipfile.ZipFile(path) as file:
            content = {
                info.filename.removesuffix(".npy"): _array(file, info) for info in file.infolist()
            }
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except Exception as error:  # a broken file can make the two readers raise anything
        raise InputError(f"cannot read {path} as an .npz file of arrays: {error}") from error
    return data_of(content, path, seed)


def _array(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """Return an array of an .npz file, if it is as large as it says: NumPy makes room first."""
    if info.file_size > PACKING * info.compress_size + 1024:
        raise ValueError(f"{info.filename} cannot be as large as it says")
    with file.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(stream)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != info.file_size - stream.tell():
            raise ValueError(f"{info.filename}: shape {shape} of {dtype} is not what is in it")
    with file.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def load_h5(path: Path, seed: int = 0) -> Data:
    """Return the data of an HDF5 file (see `data_of`)."""
    wanted = (*PARTED, "X", "y", "classes", "class_names")
    try:
        with h5py.File(path) as file:
            content = {
                name: file[name].asstr()[:] if name == "class_names" else file[name][()]
                for name in wanted
                if isinstance(file.get(name), h5py.Dataset)
            }
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"cannot read {path} as an HDF5 file of arrays: {error}") from error
    return data_of(content, path, seed)


def data_of(content: dict[str, np.ndarray], path: Path, seed: int) -> Data:
    """Return the data in arrays by name.

    X_train, X_test  (N, H, W, C), (N, H, W) or (N, I), uint8 or floating point
    y_train, y_test  (N,) integers from 0
    X, y             instead of these four: a fifth of each class is drawn by the seed for testing
    classes          optional: how many there are, if not the largest training label + 1
    class_names      optional

    Raises InputError for a file that is not such a one.
    """
    note = f"the user's own file {path}"
    if {"X", "y"} <= content.keys() and not content.keys() & set(PARTED):
        X, y = content.pop("X"), content.pop("y")
        if y.ndim != 1 or len(X) != len(y):
            raise InputError(f"{path}: X {X.shape} and y {y.shape}: expected (N, …) and (N,).")
        train, test = split(y, TEST_SHARE, "own", seed) if len(y) else (y, y)
        content |= {"X_train": X[train], "y_train": y[train], "X_test": X[test], "y_test": y[test]}
        note += f", split {len(train)}/{len(test)} by seed {seed}"
    missing = [name for name in PARTED if name not in content]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}: expected X and y, or {', '.join(PARTED)}; it has "
            f"{', '.join(content) or 'nothing'}."
        )
    for name in ("X_train", "X_test"):
        if content[name].ndim == 3:
            content[name] = content[name][..., None]
    labels = content["y_train"]
    if labels.size == 0:
        raise InputError(f"{path}: y_train is empty.")
    fitting = [
        name for name, (_, shape) in NETWORKS.items() if shape == content["X_train"].shape[1:]
    ]
    return Data(
        name=str(path),
        **{name: content[name] for name in PARTED},
        classes=int(content["classes"]) if "classes" in content else int(labels.max()) + 1,
        network="cifar" if "cifar" in fitting else (fitting or [None])[0],
        class_names=tuple(map(str, content.get("class_names", ()))),
        note=note,
    )
