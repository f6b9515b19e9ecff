"""The folder of downloads and caches, or what to do where it cannot be had."""

import errno
import os
from pathlib import Path

from minibp.errors import InputError, printable
from minibp.files import FOLDER_VARIABLE

FULL = (errno.ENOSPC, errno.EDQUOT)  # goes by itself when there is room again


def made(folder: Path) -> Path:
    """Return the folder, which is made if it is not there.

    Raises InputError if it cannot be made or written to, and OSError for a full disk.
    """
    why = "it cannot be written to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError as error:
        if error.errno in FULL:
            raise
        why = error.strerror or str(error)
    raise InputError(
        f"{printable(str(folder))}, a folder for downloads and data sets ready for use: {why}. Set "
        f"{FOLDER_VARIABLE} to a folder that can be written to."
    )
