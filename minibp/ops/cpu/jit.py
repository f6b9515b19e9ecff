"""How the kernels of this folder are compiled: by Numba, without the GIL, cached on disk."""

import contextlib
import functools
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba

from minibp.files import cache_folder, write_atomically

HERE = Path(__file__).parent


def digest(folder: Path) -> str:
    """Return a checksum of a folder's source files."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()


def drop_stale(folder: Path) -> None:
    """Remove a folder's compiled kernels unless they are of its files as they are now.

    Numba compiles a kernel anew when its own file changes, but not when a function does that it
    calls in another file: it would go on with old code, and with other last bits than elsewhere.
    """
    cache, now = folder / "__pycache__", digest(folder).encode()
    mark = cache / "kernels.sha256"
    with contextlib.suppress(OSError):  # a folder that is not ours to write to
        if mark.exists() and mark.read_bytes() == now:
            return
        cache.mkdir(exist_ok=True)
        for path in (*cache.glob("*.nbi"), *cache.glob("*.nbc")):
            path.unlink(missing_ok=True)
        write_atomically(mark, now)


def writable(folder: Path) -> bool:
    """Return whether files can be made in a folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def private(folder: Path) -> bool:
    """Return whether a folder in the temporary one is this user's alone, and can be written to; it
    is made if it is not there. Whoever else could write to it could have us run their code."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    own = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)
    return stat.S_ISDIR(found.st_mode) and own and writable(folder)


def place(folder: Path) -> tuple[Path | None, str]:
    """Return where a folder's compiled kernels are kept, None for nowhere, and what to say of it.

    That is in its __pycache__, or, where that cannot be written to, in the first of the user's
    cache folder and the temporary one that can be. NUMBA_CACHE_DIR comes before all. But for
    __pycache__, kernels of other source files have a folder of another name.
    """
    name = f"kernels-{digest(folder)[:16]}"
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given and writable(Path(given) / f"minibp-{name}"):
        return Path(given) / f"minibp-{name}", ""
    if writable(folder / "__pycache__"):
        return folder / "__pycache__", ""
    with contextlib.suppress(RuntimeError):  # no home
        own = cache_folder() / name
        if writable(own):
            return own, ""
    no_cache = "no cache folder can be written to (NUMBA_CACHE_DIR can name one)"
    with contextlib.suppress(FileNotFoundError):  # no temporary folder
        user = os.getuid() if hasattr(os, "getuid") else "user"
        temporary = Path(tempfile.gettempdir()) / f"minibp-{user}-{name}"
        if private(temporary):
            return temporary, f"{no_cache}: compiled kernels are kept in {temporary}"
    return None, f"{no_cache}: kernels are compiled anew in each process"


@functools.cache
def kept_in() -> Path | None:
    """Return where the kernels of this folder are kept; say so, once, if it is an odd place."""
    drop_stale(HERE)
    folder, what = place(HERE)
    if what:
        _tell(what)
    return folder


@functools.cache
def _tell(what: str) -> None:
    """Print a note, once in a process."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # closed
            print(f"note: {what}", file=sys.stderr)


def _save_if_possible(cache: Any) -> None:
    """Have a disk that is full not end the run: the kernel is compiled, and only not kept."""
    save = cache.save_overload

    def try_to_save(*arguments: Any) -> None:
        try:
            save(*arguments)
        except OSError as error:
            _tell(f"compiled kernels cannot be kept ({error.strerror}): {cache.cache_path}")

    cache.save_overload = try_to_save


@contextlib.contextmanager
def caching_in(folder: Path) -> Iterator[None]:
    """Have Numba keep what is declared within the block in a folder; other code's is left alone."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = "" if folder.name == "__pycache__" else str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def kernel(function: Callable) -> Callable:
    """Compile a function when it is first called, for the types that it is called with.

    No fast-math: a product and a sum could be fused here and not there, as the compiler sees fit,
    and a process that compiles a kernel would not get the bits of one that loads it from the disk.
    """
    options = {"nogil": True, "fastmath": False, "error_model": "numpy"}
    folder = kept_in()
    if folder is None:
        return numba.njit(cache=False, **options)(function)
    with caching_in(folder):
        compiled = numba.njit(cache=True, **options)(function)
    _save_if_possible(compiled._cache)
    return compiled
