"""Checkpoints: a run's state at an epoch's end, in HDF5, with a checksum over all of it.

Two are kept, the last (checkpoint.h5) and the one before (checkpoint-previous.h5), so that a file
damaged by a failing disk costs an epoch and not the run.
"""

import hashlib
import io
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from minibp.errors import DamagedFileError
from minibp.files import partial_name, write_atomically

FORMAT = 1


def save(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write arrays (by names such as "parameters/conv1/W") and JSON-able meta data, atomically;
    what was at `path` becomes the previous checkpoint."""
    text = json.dumps(meta, allow_nan=False)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file.attrs["format"] = FORMAT
        file.attrs["meta"] = np.void(text.encode())
        file.attrs["sha256"] = _digest(arrays, text)
    if path.exists():
        _keep(path, previous(path))
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the meta data of a checkpoint; raise DamagedFileError if it is not
    exactly what was written."""
    arrays: dict[str, np.ndarray] = {}

    def read(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            form, written = int(file.attrs["format"]), str(file.attrs["sha256"])
            text = bytes(file.attrs["meta"]).decode()
            file.visititems(read)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise DamagedFileError(f"checkpoint {path} is damaged: {error}") from error
    if form != FORMAT:
        raise DamagedFileError(f"checkpoint {path} has format {form}, expected {FORMAT}.")
    found = _digest(arrays, text)
    if found != written:
        raise DamagedFileError(
            f"checkpoint {path} is damaged: SHA-256 {found}, expected {written}."
        )
    return arrays, json.loads(text)


def load_latest(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Return the checkpoint at `path`, or the previous one with a warning that names the damaged
    file, or None if there is neither."""
    for candidate in (path, previous(path)):
        if candidate.exists():
            try:
                return load(candidate)
            except DamagedFileError as error:
                warnings.warn(f"{error} Trying an earlier one.", stacklevel=2)
    return None


def previous(path: Path) -> Path:
    """Return where the checkpoint before the one at `path` is kept."""
    return path.with_name(f"{path.stem}-previous{path.suffix}")


def _keep(path: Path, kept: Path) -> None:
    """Give the file a second name, so that `path` itself is never missing."""
    partial = partial_name(kept)
    try:
        os.link(path, partial)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, partial)
    os.replace(partial, kept)


def _digest(arrays: dict[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
