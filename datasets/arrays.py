"""A user's own data: arrays in a NumPy .npz or an HDF5 file."""

import math
import zipfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import h5py
import numpy as np
from minibp_datasets.folder import fitting
from minibp_datasets.protocols import split

from minibp.errors import InputError, counted, listed, printable
from minibp.training.data import Data, check_inputs, check_labels

SUFFIXES = (".npz", ".h5", ".hdf5")
PARTED = ("X_train", "y_train", "X_test", "y_test")
PACKING = 1032  # bytes that a packed one can become at most
TEST_SHARE = 0.2  # where there are only X and y

Wanted = Callable[[Collection[str]], list[str]]  # from a file's names to those that are read
Content = tuple[dict[str, np.ndarray], list[str]]  # arrays by name, and all names of the file


def load(path: Path, seed: int = 0) -> Data:
    """Return the data of a file by its name's end, one of SUFFIXES."""
    return (load_npz if path.suffix.lower() == ".npz" else load_h5)(path, seed)


def load_npz(path: Path, seed: int = 0) -> Data:
    """Return the data of an .npz file (see `data_of`). No pickle is loaded."""
    content, names = _npz(path, _wanted)
    return data_of(content, path, seed, names)


def load_h5(path: Path, seed: int = 0) -> Data:
    """Return the data of an HDF5 file (see `data_of`)."""
    content, names = _h5(path, _wanted)
    return data_of(content, path, seed, names)


def samples(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a file's samples to classify, X_test or else X, and their labels, or None.

    Raises InputError for a file that has no samples.
    """
    content, names = (_npz if path.suffix.lower() == ".npz" else _h5)(path, _to_classify)
    X, y = (next((content[n] for n in content if n[0] == kind), None) for kind in "Xy")
    if X is None:
        raise InputError(f"{path} lacks X or X_test: it has {listed(names) or 'nothing'}.")
    if y is not None:
        return _check(path, "_test" if "X_test" in content else "", X, y), y
    return X[..., None] if X.ndim == 3 else X, None


def _to_classify(names: Collection[str]) -> list[str]:
    pair = ("X_test", "y_test") if "X_test" in names else ("X", "y")
    return [name for name in pair if name in names]


def _npz(path: Path, wanted: Wanted) -> Content:
    try:
        with zipfile.ZipFile(path) as file:
            infos = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            content = {name: _array(file, infos[name], name, path) for name in wanted(infos)}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except Exception as error:  # a broken file can make the two readers raise anything
        raise InputError(f"cannot read {path} as an .npz file of arrays: {error}") from error
    return content, list(infos)


def _wanted(names: Collection[str]) -> list[str]:
    """Return those names of a file that are read: whatever lies beside them does not matter."""
    samples = PARTED if any(name in names for name in PARTED) else ("X", "y")
    return [name for name in (*samples, "classes", "class_names") if name in names]


def _array(file: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, path: Path) -> np.ndarray:
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
        if dtype.hasobject:
            raise _objects(path, name)
        if math.prod(shape) * dtype.itemsize != info.file_size - stream.tell():
            raise ValueError(f"{info.filename}: shape {shape} of {dtype} is not what is in it")
    with file.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _objects(path: Path, name: str) -> InputError:
    """Return the error for an array whose items are anything."""
    how = "numbers of one shape, such as np.stack(X).astype('float32')".replace("X", name)
    if name.startswith("y") or name == "classes":
        how = f"integers, {name}.astype(int)"
    elif name == "class_names":
        how = "text, class_names.astype(str)"
    return InputError(f"{path}: {name} is of Python objects: save it as {how}.")


def _h5(path: Path, wanted: Wanted) -> Content:
    try:
        with h5py.File(path) as file:
            found = {name: file.get(name) for name in file}
            arrays = {name: each for name, each in found.items() if isinstance(each, h5py.Dataset)}
            content = {name: _dataset(arrays[name], name, path) for name in wanted(arrays)}
            names = list(found)
    except InputError:
        raise
    except Exception as error:  # a broken file can make the library raise many things
        raise InputError(f"cannot read {path} as an HDF5 file of arrays: {error}") from error
    return content, names


def _dataset(dataset: h5py.Dataset, name: str, path: Path) -> np.ndarray:
    """Return a data set, if it is as large as it says: HDF5 makes room first."""
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[()]
    if dataset.dtype.hasobject:
        raise _objects(path, name)
    if dataset.shape is None or dataset.nbytes > PACKING * dataset.id.get_storage_size() + 1024:
        raise ValueError(f"{dataset.name} is empty, or cannot be as large as it says")
    return dataset[()]


def data_of(
    content: dict[str, np.ndarray], path: Path, seed: int, names: Sequence[str] = ()
) -> Data:
    """Return the data in arrays by name.

    X_train, X_test  (N, H, W, C), (N, H, W) or (N, I), uint8 or floating point
    y_train, y_test  (N,) integers from 0
    X, y             instead of these four: a fifth of each class is drawn by the seed for testing
    classes          optional: how many there are, if not the largest training label + 1
    class_names      optional
    names            of all that the file has, for errors

    Raises InputError for a file that is not such a one.
    """
    note = f"the user's own file {path}"
    content = {name: np.asarray(array) for name, array in content.items()}
    if {"X", "y"} <= content.keys() and not content.keys() & set(PARTED):
        X, y = content.pop("X"), content.pop("y")
        X = _check(path, "", X, y)
        check_inputs(f"{path}: X", X)  # before the split: the rows are the file's
        check_labels(f"{path}: y", y, len(X), int(y.max()) + 1)
        train, test = split(y, TEST_SHARE, "own", seed)
        content |= {"X_train": X[train], "y_train": y[train], "X_test": X[test], "y_test": y[test]}
        note += f", split {len(train)}/{len(test)} by seed {seed}"
    missing = [name for name in PARTED if name not in content]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}: expected X and y, or {', '.join(PARTED)}; it has "
            f"{listed(names or content) or 'nothing'}."
        )
    for part in ("_train", "_test"):
        content[f"X{part}"] = _check(path, part, content[f"X{part}"], content[f"y{part}"])
    titles, classes = content.get("class_names", np.array([])), content.get("classes")
    if classes is not None and (classes.shape != () or classes.dtype.kind not in "iu"):
        raise InputError(f"{path}: classes is {classes!r}: expected an integer.")
    classes = int(content["y_train"].max()) + 1 if classes is None else int(classes)
    if classes < 2:
        raise InputError(f"{path}: {counted(classes, 'class')}: expected 2 or more.")
    if titles.ndim != 1:
        raise InputError(f"{path}: class_names has shape {titles.shape}: expected a list.")
    if 0 < len(titles) < classes:
        raise InputError(
            f"{path}: class_names has {counted(len(titles), 'name')} for {classes} classes: "
            "expected one for each label from 0."
        )
    return Data(
        name=printable(str(path)),
        **{name: content[name] for name in PARTED},
        classes=classes,
        network=fitting(content["X_train"].shape[1:]),
        class_names=tuple(n.decode() if isinstance(n, bytes) else str(n) for n in titles.tolist()),
        note=printable(note),
    )


def _check(path: Path, part: str, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return samples (N, …), images with their channel; raise InputError unless there is an integer
    label for each, and a sample."""
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise InputError(
            f"{path}: y{part} has shape {y.shape} and type {y.dtype}: expected (N,) integers from "
            f"0{_remedy(y)}."
        )
    if len(y) == 0:
        raise InputError(f"{path}: y{part} is empty.")
    if X.ndim < 2 or len(X) != len(y):
        raise InputError(f"{path}: X{part} has shape {X.shape}: expected ({len(y)}, …).")
    return X[..., None] if X.ndim == 3 else X


def _remedy(y: np.ndarray) -> str:
    """Return how labels of another kind become integers."""
    if y.dtype.kind in "USO":
        return ": class_names, y = np.unique(y, return_inverse=True), all labels at once"
    if y.ndim == 2:
        return ": y.ravel()" if y.shape[1] == 1 else ": y.argmax(axis=1), if they are one-hot"
    whole = y.dtype.kind == "b" or (y.dtype.kind == "f" and (y == np.rint(y)).all())
    return ": y.astype(int)" if whole else ", the numbers of the classes"
