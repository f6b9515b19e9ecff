"""Files in a tar, a zip or a folder: read one after the other, and never unpacked to a disk."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from minibp.errors import DamagedFileError, InputError

LARGEST = 64 << 20  # bytes of one member, unless a reader expects more
RATIO, ALLOWANCE = 200, 4 << 20  # unpacked bytes for a packed one, beyond an allowance
MOST = 1_000_000  # members
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
UNPACK = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\0": lzma.open, b"BZh": bz2.open}
BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, ValueError, KeyError, IndexError, OverflowError, MemoryError),
    *(NotImplementedError, RuntimeError, OSError),
)

Member = tuple[str, Callable[[int], bytes]]  # its name, and what reads up to so many bytes of it


class Tree:
    """The files below a folder or in an archive (tar, also gzip, xz or bzip2; zip); a single other
    file is a tree of one.

    Raises DamagedFileError for an archive that is broken, or not to be trusted: absolute paths,
    "..", links, devices, more than it can honestly hold.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("hello")
    >>> Tree(folder).names(), dict(Tree(folder).read(["a.txt"]))
    (['a.txt'], {'a.txt': b'hello'})
    """

    def __init__(self, path: Path, inner: str | None = None):
        self.path, self.inner = path, inner
        self.folders: set[str] = set()  # that names() came by, with or without files
        self.broken: list[str] = []  # links that lead nowhere, which names() came by

    def __str__(self) -> str:
        return f"{self.path}" + (f", {self.inner}" if self.inner else "")

    def inside(self, name: str) -> "Tree":
        """Return the tree of an archive that is a member of this one."""
        return Tree(self.path / name) if self.path.is_dir() else Tree(self.path, name)

    def names(self) -> list[str]:
        """Return the files' names, with slashes, without hidden ones, in the archive's order."""
        names = [name for name, _ in self._members()]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DamagedFileError(f"{self}: it has {twice!r} twice.")
        return names

    def read(self, wanted: Collection[str], limit: int = LARGEST) -> Iterator[tuple[str, bytes]]:
        """Yield (name, content) of the wanted files, in the archive's order.

        Raises DamagedFileError if one is missing, or larger than `limit` bytes.
        """
        missing = set(wanted)
        for name, read in self._members():
            if name in missing:
                missing.remove(name)
                with self._told():
                    content = read(limit + 1)
                if len(content) > limit:
                    raise DamagedFileError(f"{self}: {name} is larger than {limit} bytes.")
                yield name, content
        if missing:
            raise DamagedFileError(
                f"{self}: {len(missing)} files are missing, such as {min(missing)!r}."
            )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Name the file in any error that reading it raises."""
        try:
            yield
        except (Refused, *BROKEN) as error:
            raise DamagedFileError(
                f"{self} cannot be read: {error or type(error).__name__}."
            ) from error

    def _members(self) -> Iterator[Member]:
        """Yield every file that is not hidden; each must be read before the next."""
        if not self.path.exists():
            raise InputError(f"{self.path} does not exist.")
        if self.path.is_dir():
            members = self._folder()
        else:
            members = self._archive() if self.inner is None else self._nested()
        count = 0
        while True:
            with self._told():
                found = next(members, None)
                if found is None:
                    return
                _check_name(found[0])
            count += 1
            if count > MOST:
                raise DamagedFileError(f"{self}: it has more than {MOST} files.")
            if not hidden(found[0]):
                yield found

    def _folder(self) -> Iterator[Member]:
        files, folders, broken = walk(self.path)
        self.folders.update(path.relative_to(self.path).as_posix() for path in folders)
        self.broken = sorted(path.relative_to(self.path).as_posix() for path in broken)
        for path in sorted(files):
            name = path.relative_to(self.path).as_posix()
            yield name, lambda most, path=path: _head(path, most)

    def _nested(self) -> Iterator[Member]:
        size = self.path.stat().st_size
        with zipfile.ZipFile(self.path) as file:
            info = file.getinfo(self.inner)
            with file.open(info) as stream:
                most = min(info.file_size, size * RATIO + ALLOWANCE)
                yield from _tar(stream, most, self.folders)

    def _archive(self) -> Iterator[Member]:
        size, name = self.path.stat().st_size, self.path.name
        with open(self.path, "rb") as stream:
            if name.lower().endswith(TARS):
                yield from _tar(stream, size, self.folders)
            elif name.lower().endswith(".zip"):
                yield from _zip(stream, size, self.folders)
            else:
                unpacked, packed = _unpacked(stream, size)
                yield (
                    name.rpartition(".")[0] if packed else name,
                    lambda most: read_up_to(unpacked, most),
                )


def files_below(place: Path) -> list[Path]:
    """Return all files of a folder and what it links to, or the file itself."""
    return walk(place)[0]


def walk(place: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return all files, folders and links that lead nowhere, of a folder and what it links to; of a
    file itself."""
    if place.is_file():
        return [place], [], []
    found, folders_found, seen = [], [], set()
    for folder, folders, names in os.walk(place, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back
            folders.clear()
            continue
        seen.add(real)
        found += [Path(folder, name) for name in names]
        folders_found += [Path(folder, name) for name in folders]
    broken = [path for path in found if path.is_symlink() and not path.exists()]
    return [path for path in found if path.is_file()], folders_found, broken


def hidden(name: str) -> bool:
    """Return whether a file, or a folder it is in, is one that systems keep for themselves."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def read_up_to(stream: IO[bytes], most: int) -> bytes:
    """Return at most so many bytes of a stream, without room for more than there are."""
    pieces = []
    while most > 0 and (piece := stream.read(min(most, 1 << 18))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def is_archive(path: Path) -> bool:
    """Return whether a file has an archive's name."""
    return path.name.lower().endswith((*TARS, ".zip"))


class Refused(Exception):
    """An archive is not whole, or not to be trusted; its Tree tells which one it is."""


class _Limited(io.RawIOBase):
    """A stream that raises rather than give more bytes than are honest."""

    def __init__(self, stream: IO[bytes], most: int):
        self.stream, self.left, self.last = stream, most, b""

    def read(self, size: int = -1) -> bytes:
        size = self.left + 1 if size < 0 else min(size, self.left + 1)
        content = self.stream.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise Refused("unpacked it is far larger than it can honestly be")
        self.last = (self.last + content[-512:])[-512:]
        return content


def _unpacked(stream: IO[bytes], size: int) -> tuple[_Limited, bool]:
    """Return what is in a stream, and whether it was packed."""
    stream = io.BufferedReader(stream) if not hasattr(stream, "peek") else stream
    head = stream.peek(6)[:6]
    for magic, unpack in UNPACK.items():
        if head.startswith(magic):
            return _Limited(unpack(stream), size * RATIO + ALLOWANCE), True
    return _Limited(stream, size), False


def _tar(stream: IO[bytes], size: int, folders: set[str]) -> Iterator[Member]:
    """Yield the files of a tar, packed or not, from front to back, and note its folders."""
    content, _ = _unpacked(stream, size)
    with tarfile.open(fileobj=content, mode="r|", bufsize=1 << 18) as tar:
        for member in tar:
            if member.isdir():
                folders.add(member.name.removeprefix("./"))
                continue
            if not member.isreg() or member.issparse():
                raise Refused(f"{member.name!r} is a link, a device or sparse, not a plain file")
            yield (
                member.name.removeprefix("./"),
                lambda most, member=member: _whole(tar.extractfile(member), member.size, most),
            )
    while content.read(1 << 18):  # to the end, where packed streams have their checksum
        pass
    if len(content.last) < 512 or content.last.strip(b"\0"):
        raise Refused("the end of the archive is missing")


def _zip(stream: IO[bytes], size: int, folders: set[str]) -> Iterator[Member]:
    """Yield the files of a zip, and note its folders."""
    with zipfile.ZipFile(stream) as file:
        infos = [info for info in file.infolist() if not info.is_dir()]
        folders.update(info.filename.rstrip("/") for info in file.infolist() if info.is_dir())
        if sum(info.file_size for info in infos) > size * RATIO + ALLOWANCE:
            raise Refused("unpacked it is far larger than it can honestly be")
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise Refused(f"{info.filename!r} is a link or a device, not a file")
            yield (
                info.filename,
                lambda most, info=info: _whole(file.open(info), info.file_size, most),
            )


def _whole(stream: IO[bytes] | None, size: int, most: int) -> bytes:
    """Return a member's content, or its first `most` bytes."""
    if stream is None:
        raise Refused("a member has no content")
    with stream:
        content = read_up_to(stream, min(size, most))
        if len(content) < min(size, most):
            raise Refused("it is truncated")
        return content


def _head(path: Path, most: int) -> bytes:
    with open(path, "rb") as file:
        return read_up_to(file, most)


def _check_name(name: str) -> None:
    if "\\" in name or "\0" in name or ":" in name[:2] or name.startswith("/"):
        raise Refused(f"member {name!r} has an absolute or foreign path")
    if ".." in name.split("/"):
        raise Refused(f"member {name!r} leads out of the archive")
