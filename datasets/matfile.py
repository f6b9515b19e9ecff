"""Numeric arrays of MATLAB files (version 5), checked before SciPy reads them.

SciPy trusts a file's sizes. Here each wanted array's declared size must be what is there, so that a
broken file can neither take memory it does not need nor be read as something else.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.io

from minibp.errors import DamagedFileError

MATRIX, COMPRESSED = 14, 15
NUMERIC = range(6, 16)  # classes: double, single, 8- to 64-bit integers
ITEM = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}  # bytes by storage type
HEAD = 1024  # bytes that an array's flags, dimensions and name fit in
CHUNK = 1 << 20


def read(path: Path, names: tuple[str, ...], most: int) -> dict[str, np.ndarray]:
    """Return the named arrays of a file, each of at most `most` bytes.

    Raises DamagedFileError for another format, arrays that are missing, not numeric or not as large
    as they say.
    """
    try:
        content = path.read_bytes()
        found = dict(_arrays(content, most))
        missing = [name for name in names if not found.get(name)]
        if missing:
            raise DamagedFileError(
                f"it lacks the numeric array {', '.join(missing)}; it has {', '.join(found)}"
            )
        arrays = scipy.io.loadmat(path, variable_names=names)
        return {name: np.asarray(arrays[name]) for name in names}
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error}.") from error
    except Exception as error:  # SciPy's reader raises many things for a broken file
        raise DamagedFileError(f"{path} is not a whole MATLAB 5 file: {error}.") from error


def _arrays(content: bytes, most: int) -> Iterator[tuple[str, bool]]:
    """Yield each array's name, and whether it is numeric and of the size that it says."""
    if content[:8] == b"\x89HDF\r\n\x1a\n" or content[124:126] == b"\x00\x02":
        raise DamagedFileError("it is of MATLAB's version 7.3: save it with -v7")
    if len(content) < 136 or 0 in content[:4] or content[126:128] not in (b"IM", b"MI"):
        raise DamagedFileError("no MATLAB 5 header")
    order = "<" if content[126:128] == b"IM" else ">"
    place = 128
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        place += 8
        if size > len(content) - place:
            raise DamagedFileError(
                f"an element of {size} bytes, of which {len(content) - place} are there"
            )
        element = memoryview(content)[place : place + size]
        place += size
        if kind == COMPRESSED:
            head, size = _decompressed(element, most)
            if len(head) < 8 or struct.unpack_from(f"{order}II", head) != (MATRIX, size - 8):
                raise DamagedFileError("a compressed element that is no array of its size")
            yield _array(head[8:], size - 8, order)
        elif kind == MATRIX:
            yield _array(bytes(element[:HEAD]), size, order)
        else:
            raise DamagedFileError(f"an element of unknown type {kind}")
    if place != len(content):
        raise DamagedFileError("bytes after the last element")


def _decompressed(element: memoryview, most: int) -> tuple[bytes, int]:
    """Return the first bytes of a compressed element, and how many it has."""
    unpack, head, size = zlib.decompressobj(), b"", 0
    for start in range(0, len(element), CHUNK):
        left = element[start : start + CHUNK]
        while left:
            piece = unpack.decompress(left, CHUNK)
            head += piece[: HEAD - len(head)]
            size += len(piece)
            if size > most + HEAD:
                raise DamagedFileError(f"an array of more than {most} bytes")
            left = unpack.unconsumed_tail
    if not unpack.eof:
        raise DamagedFileError("a compressed element that is truncated")
    return head, size


def _array(head: bytes, size: int, order: str) -> tuple[str, bool]:
    """Return an array's name, and whether it is numeric, from the first bytes of its element."""
    parts, place = [], 0
    for _ in range(4):  # flags, dimensions, name, values
        kind, length, start = _tag(head, place, order)
        parts.append((kind, length, head[start : start + length]))
        place = start + length
        place += -place % 8
        if len(parts) == 3 and place >= min(size, len(head)):
            break
    if len(parts) < 3:
        raise DamagedFileError("an array without a name")
    name = parts[2][2].decode("latin-1")
    kind = struct.unpack_from(f"{order}I", parts[0][2])[0]
    if kind & 0xFF not in NUMERIC or kind & 0x800 or len(parts) < 4:  # 0x800: complex
        return name, False
    shape = struct.unpack(f"{order}{parts[1][1] // 4}i", parts[1][2])
    kind, length, _ = parts[3]
    whole = min(shape, default=-1) >= 0 and length == math.prod(shape) * ITEM.get(kind, -1)
    if not whole or length > size:
        raise DamagedFileError(f"array {name!r} of shape {shape} with {length} bytes")
    return name, True


def _tag(content: bytes, place: int, order: str) -> tuple[int, int, int]:
    """Return a sub-element's type, size, and where its bytes begin."""
    if place + 8 > len(content):
        raise DamagedFileError("an array that ends in its head")
    kind, size = struct.unpack_from(f"{order}II", content, place)
    if kind >> 16:  # a small one: its size and type in four bytes, its content in the next four
        return kind & 0xFFFF, kind >> 16, place + 4
    return kind, size, place + 8
