"""The history of a run: a line of JSON for each epoch, to which lines are only added."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from minibp.errors import DamagedFileError


class Journal:
    """A file of rows. `append` costs what is new, however much is there before.

    A kill may leave lines behind that nobody vouches for. So whoever reads says how many rows
    count, and their checksum; the next `append` takes the place of what follows them.

    rows    how many count
    sha256  their checksum: of the last row's line and the checksum before it
    """

    def __init__(self, path: Path):
        self.path, self.rows, self.sha256, self._size = path, 0, "", 0

    def append(self, rows: list[Any]) -> None:
        """Add JSON-able rows, and have them on the disk on return.

        Raises OSError if they cannot be written; the rows before are still there.
        """
        lines = [json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows]
        with open(self.path, "r+b" if self._size else "wb") as file:
            file.seek(self._size)
            file.truncate()
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        self._count(lines)

    def read(self, rows: int, sha256: str) -> list[Any]:
        """Return the first rows; raise DamagedFileError unless they are those of the checksum."""
        self.rows, self.sha256, self._size = 0, "", 0
        try:
            lines = self.path.read_bytes().splitlines(keepends=True)[:rows]
        except FileNotFoundError:
            lines = []
        self._count(lines)
        if (self.rows, self.sha256) != (rows, sha256):
            raise DamagedFileError(
                f"{self.path} is damaged: it should begin with {rows} rows of SHA-256 {sha256}, "
                f"and has {self.rows} of {self.sha256 or 'nothing'}."
            )
        return [json.loads(line) for line in lines]

    def _count(self, lines: list[bytes]) -> None:
        for line in lines:
            self.sha256 = hashlib.sha256(self.sha256.encode() + line).hexdigest()
        self.rows += len(lines)
        self._size += sum(map(len, lines))
