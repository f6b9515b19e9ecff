"""A user's own data: arrays in a NumPy .npz or an HDF5 file."""

import math
import zipfile
from pathlib import Path

import h5py
import numpy as np
from minibp_datasets.folder import fitting
from minibp_datasets.protocols import split

from minibp.data import Data
from minibp.errors import InputError

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
                name: _dataset(file[name])
                for name in wanted
                if isinstance(file.get(name), h5py.Dataset)
            }
    except Exception as error:  # a broken file can make the library raise many things
        raise InputError(f"cannot read {path} as an HDF5 file of arrays: {error}") from error
    return data_of(content, path, seed)


def _dataset(dataset: h5py.Dataset) -> np.ndarray:
    """Return a data set, if it is as large as it says: HDF5 makes room first."""
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[()]
    if dataset.shape is None or dataset.nbytes > PACKING * dataset.id.get_storage_size() + 1024:
        raise ValueError(f"{dataset.name} is empty, or cannot be as large as it says")
    return dataset[()]


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
    content = {name: np.asarray(array) for name, array in content.items()}
    if {"X", "y"} <= content.keys() and not content.keys() & set(PARTED):
        X, y = content.pop("X"), content.pop("y")
        _check(path, "", X, y)
        train, test = split(y, TEST_SHARE, "own", seed)
        content |= {"X_train": X[train], "y_train": y[train], "X_test": X[test], "y_test": y[test]}
        note += f", split {len(train)}/{len(test)} by seed {seed}"
    missing = [name for name in PARTED if name not in content]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}: expected X and y, or {', '.join(PARTED)}; it has "
            f"{', '.join(content) or 'nothing'}."
        )
    for part in ("_train", "_test"):
        _check(path, part, content[f"X{part}"], content[f"y{part}"])
        if content[f"X{part}"].ndim == 3:
            content[f"X{part}"] = content[f"X{part}"][..., None]
    names, classes = content.get("class_names", np.array([])), content.get("classes")
    if classes is not None and (classes.shape != () or classes.dtype.kind not in "iu"):
        raise InputError(f"{path}: classes is {classes!r}: expected an integer.")
    if names.ndim != 1:
        raise InputError(f"{path}: class_names has shape {names.shape}: expected a list.")
    return Data(
        name=str(path),
        **{name: content[name] for name in PARTED},
        classes=int(content["y_train"].max()) + 1 if classes is None else int(classes),
        network=fitting(content["X_train"].shape[1:]),
        class_names=tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names.tolist()),
        note=note,
    )


def _check(path: Path, part: str, X: np.ndarray, y: np.ndarray) -> None:
    """Raise InputError unless there is an integer label for each sample, and a sample."""
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise InputError(
            f"{path}: y{part} has shape {y.shape} and type {y.dtype}: expected (N,) integers from "
            "0. Names of classes go into class_names."
        )
    if len(y) == 0:
        raise InputError(f"{path}: y{part} is empty.")
    if X.ndim < 2 or len(X) != len(y):
        raise InputError(f"{path}: X{part} has shape {X.shape}: expected ({len(y)}, …).")
