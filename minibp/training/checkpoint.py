"""Checkpoints: a run's state at an epoch's end, in HDF5, with a checksum over all of it.

Two are kept, the last (checkpoint.h5) and the one before (checkpoint-previous.h5), so that a file
damaged by a failing disk costs an epoch and not the run. The epochs' records are in a journal
(history.jsonl), of which a checkpoint has the length and the checksum: so an epoch costs the same
whether it is the first or the thousandth.
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

from minibp.errors import DamagedFileError, InputError, differing
from minibp.files import partial_name, write_atomically
from minibp.training.journal import Journal

FORMAT = 2  # 1 had the meta data in an attribute, with all of the history
META = "meta"

State = tuple[dict[str, np.ndarray], dict[str, Any]]


class Checkpoints:
    """What a run in progress leaves in its folder.

    folder  the run's own
    owner   what the run is, JSON-able, by name: a checkpoint of another run is refused
    """

    def __init__(self, folder: Path, owner: dict[str, Any]):
        self.path, self.owner = folder / "checkpoint.h5", owner
        self.journal = Journal(folder / "history.jsonl")

    def save(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Keep the arrays and the JSON-able meta data, whose `history` has a row for each epoch.

        Raises OSError if they cannot be written; the checkpoint before is then still there.
        """
        self.journal.append(meta["history"][self.journal.rows :])
        kept = {name: value for name, value in meta.items() if name != "history"}
        save(self.path, arrays, kept | {"owner": self.owner, "epochs": self._epochs()})

    def load(self) -> State | None:
        """Return the last state that is whole, or None if there is none; a warning names a file
        that is damaged.

        Raises InputError for the checkpoint of another run.
        """
        for candidate in (self.path, previous(self.path)):
            if candidate.exists():
                try:
                    return self._load(candidate)
                except DamagedFileError as error:
                    warnings.warn(f"{error} Trying an earlier one.", stacklevel=2)
        self.journal = Journal(self.journal.path)
        return None

    def _load(self, path: Path) -> State:
        arrays, meta = load(path)
        if "owner" in meta:  # which the first format had not
            owner = meta.pop("owner")
            owner.pop("rate_factors", None)  # older ones knew which other rates were tried
            changes = differing(owner, self.owner)
            if changes:
                raise InputError(
                    f"checkpoint {path} is another run's: {'; '.join(changes)}. Remove it, and the "
                    "run begins anew."
                )
        if "history" not in meta:
            meta["history"] = self.journal.read(**meta.pop("epochs"))
        return arrays, meta

    def _epochs(self) -> dict[str, Any]:
        return {"rows": self.journal.rows, "sha256": self.journal.sha256}


def save(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write arrays (by names such as "parameters/conv1/W") and JSON-able meta data, atomically;
    what was at `path` becomes the previous checkpoint."""
    content = _packed(arrays, meta)
    if path.exists():
        _keep(path, previous(path))
    write_atomically(path, content)


def replace(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Do the same, but keep nothing of what was at `path`."""
    write_atomically(path, _packed(arrays, meta))


def _packed(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> bytes:
    text = json.dumps(meta, allow_nan=False)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file.attrs["format"] = FORMAT
        file[META] = np.frombuffer(text.encode(), np.uint8)  # no attribute: they hold 64 KiB
        file.attrs["sha256"] = _digest(arrays, text)
    return buffer.getvalue()


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the meta data of a checkpoint; raise DamagedFileError if it is not
    exactly what was written."""
    arrays: dict[str, np.ndarray] = {}

    def read(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and name != META:
            arrays[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            form, written = int(file.attrs["format"]), str(file.attrs["sha256"])
            text = bytes(file.attrs[META] if form == 1 else file[META][()]).decode()
            file.visititems(read)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise DamagedFileError(f"checkpoint {path} is damaged: {error}.") from error
    if form not in (1, FORMAT):
        raise DamagedFileError(f"checkpoint {path} has format {form}, expected 1 or {FORMAT}.")
    found = _digest(arrays, text)
    if found != written:
        raise DamagedFileError(
            f"checkpoint {path} is damaged: SHA-256 {found}, expected {written}."
        )
    return arrays, json.loads(text)


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
