"""Data sets ready for training: one HDF5 file each, whole or not there, read as it is needed."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from minibp_datasets.places import made
from minibp_datasets.reading import Reading
from tqdm import tqdm

from minibp.errors import DamagedFileError
from minibp.files import replacing
from minibp.training.data import Data

ABANDONED = 3600  # seconds without a write
ARRAYS = ("X_train", "y_train", "X_test", "y_test")


def build(path: Path, reading: Reading, about: dict[str, Any], *, quiet: bool = False) -> None:
    """Write a cache file, with its checksum and provenance; an error leaves nothing behind.

    about  name, classes, network, note, told (what the user is warned of) and provenance, JSON-able
    """
    _clear(made(path.parent))
    with replacing(path) as partial:
        with h5py.File(partial, "w") as file:
            _write(file, reading, quiet, about["name"])
            file.attrs["about"] = json.dumps(about | {"class_names": reading.class_names})
        sha256 = _data(partial).sha256
        with h5py.File(partial, "r+") as file:
            file.attrs["sha256"] = sha256


def load(path: Path) -> Data:
    """Return the data of a cache file. Its arrays are mapped: the system reads what is used.

    Raises DamagedFileError for a file whose arrays are not those it was written with.
    """
    data = _data(path)
    with h5py.File(path) as file:
        expected = file.attrs.get("sha256")
    if data.sha256 != expected:
        raise DamagedFileError(f"{path} is damaged: remove it, and it will be built anew.")
    return data


def provenance(path: Path) -> dict[str, Any]:
    """Return what is known of how a cache file was made."""
    with _told(path), h5py.File(path) as file:
        return json.loads(file.attrs["about"])


def _write(file: h5py.File, reading: Reading, quiet: bool, name: str) -> None:
    total = 0
    for part in ("train", "test"):
        labels = getattr(reading, f"y_{part}")
        file.create_dataset(f"y_{part}", data=labels)
        shape = (len(labels), *reading.shape)
        file.create_dataset(f"X_{part}", shape, reading.dtype)
        total += len(labels)
    with tqdm(
        desc=f"building {name}", total=total, unit="sample", disable=True if quiet else None
    ) as bar:
        for part, rows, block in reading.blocks():
            file[f"X_{part}"][rows] = block
            bar.update(1 if isinstance(rows, int) else len(block))


def _data(path: Path) -> Data:
    with _told(path), h5py.File(path) as file:
        about = json.loads(file.attrs["about"])
        places = {
            name: (file[name].id.get_offset(), file[name].shape, file[name].dtype)
            for name in ARRAYS
        }
    with _told(path):
        arrays = {
            name: np.asarray(np.memmap(path, dtype, "r", offset, shape))
            for name, (offset, shape, dtype) in places.items()
        }
        return Data(
            **arrays,
            name=about["name"],
            classes=about["classes"],
            network=about["network"],
            class_names=tuple(about["class_names"]),
            note=about["note"],
        )


@contextlib.contextmanager
def _told(path: Path):
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(
            f"{path} is damaged ({error}): remove it, and it will be built anew."
        ) from error


def _clear(folder: Path) -> None:
    """Remove what killed processes left: nobody, on this machine or another, has written to it for
    long."""
    for partial in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > ABANDONED:
                partial.unlink()
