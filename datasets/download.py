"""Downloads by checksum, from the first mirror that answers, continued where they were cut off."""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from minibp.errors import InputError

FOLDER_VARIABLE = "MINIBP_DATA_DIR"
TIMEOUT = 30  # seconds without an answer
CHUNK = 1 << 16


def cache_folder() -> Path:
    """Return where downloads are kept: $MINIBP_DATA_DIR, or the system's cache folder."""
    return Path(os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("minibp"))


def fetch(file_name: str, mirrors: Sequence[str], known_hash: str, *, quiet: bool = False) -> Path:
    """Return the path of a file in the cache, downloaded if it is not there yet.

    mirrors     addresses that the file's name is appended to, tried in order
    known_hash  such as "md5:…"; a file with another checksum is never kept

    Raises InputError, with what each mirror answered, if none gives the file.
    """
    folder, failures = cache_folder(), []
    pooch.get_logger().setLevel(logging.ERROR)  # the progress bar says it
    for mirror in mirrors:
        try:
            return Path(
                pooch.retrieve(
                    mirror + file_name,
                    known_hash,
                    fname=file_name,
                    path=folder,
                    downloader=Resuming(folder / f"{file_name}.part", quiet),
                )
            )
        except (requests.RequestException, OSError, ValueError) as error:
            failures.append(f"{mirror}{file_name}: {error}")
    raise InputError(
        f"{file_name} could not be downloaded:\n  "
        + "\n  ".join(failures)
        + "\nDownload the files by hand, and give their folder with --data-dir."
    )


class Resuming:
    """A downloader for pooch that keeps what it got in a .part file, and asks for the rest."""

    def __init__(self, part: Path, quiet: bool):
        self.part, self.quiet = part, quiet

    def __call__(self, url: str, output_file: str, _: object) -> None:
        """Download the URL to a file; on a cut connection the .part stays for the next try."""
        have = self.part.stat().st_size if self.part.exists() else 0
        header = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=header, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == 416:  # there is no rest: the part is as long as the file
                shutil.move(self.part, output_file)
                return
            response.raise_for_status()
            if response.status_code != 206:  # the whole file comes, whatever was asked for
                have = 0
            length = int(response.headers.get("Content-Length", 0))
            with (
                open(self.part, "ab" if have else "wb") as file,
                tqdm(
                    desc=self.part.stem,
                    total=have + length or None,
                    initial=have,
                    unit="B",
                    unit_scale=True,
                    disable=True if self.quiet else None,
                ) as bar,
            ):
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
        got = self.part.stat().st_size - have
        if length and got != length:
            raise requests.ConnectionError(f"connection cut after {got} of {length} bytes")
        # Handed over whole: if its checksum is wrong, pooch deletes it, and the next try is fresh.
        shutil.move(self.part, output_file)
