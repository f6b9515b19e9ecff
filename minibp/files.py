"""Files that are whole or not there: a kill at any moment leaves the old one or the new one."""

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minibp.errors import DamagedFileError, InputError

LONGEST = 100  # bytes of a folder's readable name: file systems take 255
FOLDER_VARIABLE = "MINIBP_DATA_DIR"


def cache_folder() -> Path:
    """Return where downloads and caches are: $MINIBP_DATA_DIR, or the system's cache folder."""
    import pooch  # here, since it takes a third of a second

    return Path(os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("minibp"))


def folder_name(text: str) -> str:
    """Return a folder's name for a text: readable, short, and of no other text.

    >>> folder_name("frSF-25+BN Top"), folder_name("cifar10")
    ('frSF-25+BN_Top', 'cifar10')
    >>> folder_name("npz:a/b.npz"), folder_name("npz:a_b.npz")
    ('npz_a_b.npz-8c0e668f', 'npz_a_b.npz-75ea5e6d')
    """
    plain = re.sub(r" (Top|Bottom)$", r"_\1", text)
    name = re.sub(r"[^\w+.()=,-]+", "_", plain)
    own = name == plain and not re.search(r"_(Top|Bottom)$|-[0-9a-f]{8}$|^\.*$", text)
    if own and len(os.fsencode(name)) <= LONGEST:
        return name
    digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:8]
    short = name.encode("utf-8", "replace")[-LONGEST:].decode("utf-8", "ignore")
    return f"{short.lstrip('_.')}-{digest}"


def partial_name(path: Path) -> Path:
    """Return a name beside `path` that nobody else uses, on this machine or another."""
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")


def check_place(path: Path) -> None:
    """Raise InputError unless a file can be written to a path, before there is work to be lost."""
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{path} is a folder: expected the name of a file.")
    if not folder.is_dir():
        raise InputError(f"{path}: there is no folder {folder}.")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: its folder cannot be written to.")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write a file to, which then takes the place of `path` at once; if the block
    raises, it is removed, and the old file is still there.

    Raises OSError if it cannot be written.
    """
    partial = partial_name(path)
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    _sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file by the content at once, and have it on the disk on return.

    Raises OSError if it cannot be written; the old file is then still there.
    """
    with replacing(path) as partial:
        partial.write_bytes(content)


def _sync_folder(folder: Path) -> None:
    """Have the folder's new entry on the disk, where the system can say so."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON atomically: NaN and infinity raise ValueError, None is null."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; raise DamagedFileError if it is not one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise DamagedFileError(
            f"{path} is not valid JSON ({error}): remove it, or choose another folder."
        ) from error
