"""Downloads by checksum, from the first mirror that answers, continued where they were cut off."""

import hashlib
import logging
import shutil
from pathlib import Path

import requests
from minibp_datasets.about import File
from minibp_datasets.places import made
from tqdm import tqdm

from minibp.errors import InputError
from minibp.files import cache_folder, read_json, write_json

TIMEOUT = 30  # seconds without an answer
CHUNK = 1 << 16
RECORDED = "recorded.json"  # checksums of first downloads, where none is published


def download_folder(name: str) -> Path:
    """Return where the originals of a data set are kept."""
    return cache_folder() / "downloads" / name


def fetch(file: File, folder: Path, *, quiet: bool = False) -> Path:
    """Return the path of a file in the folder, downloaded if it is not there yet.

    A file with another checksum than the published one is never kept; where none is published, nor
    one with another than was recorded of the first download.

    Raises InputError, with what each mirror answered, if none gives the file.
    """
    import pooch  # here: only who downloads needs it

    failures = []
    if not (folder / file.name).exists():
        made(folder)
    pooch.get_logger().setLevel(logging.ERROR)  # the progress bar says it
    for address in file.addresses():
        try:
            return Path(
                pooch.retrieve(
                    address,
                    file.checksum or recorded(folder).get(file.name),
                    fname=file.name,
                    path=folder,
                    downloader=Resuming(folder / f"{file.name}.part", quiet),
                )
            )
        except (requests.RequestException, OSError, ValueError) as error:
            failures.append(f"{address}: {error}")
    raise InputError(
        f"{file.name} could not be downloaded:\n  "
        + "\n  ".join(failures)
        + f"\nDownload it by hand into {folder}, or give the folder it is in with --data-dir."
    )


def checksum_of(path: Path, kind: str) -> str:
    """Return "kind:…" of a file; kind is md5 or sha256."""
    digest = hashlib.new(kind)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return f"{kind}:{digest.hexdigest()}"


def recorded(folder: Path) -> dict[str, str]:
    """Return the checksums of first downloads into a folder."""
    path = folder / RECORDED
    return read_json(path) if path.exists() else {}


def record(folder: Path, path: Path) -> None:
    """Record a file's checksum: every later download has to have it."""
    write_json(folder / RECORDED, recorded(folder) | {path.name: checksum_of(path, "sha256")})


class Resuming:
    """A downloader for pooch that keeps what it got in a .part file, and asks for the rest."""

    def __init__(self, part: Path, quiet: bool):
        self.part, self.quiet = part, quiet

    def __call__(self, url: str, output_file: str, _: object) -> None:
        """Download the URL to a file; on a cut connection the .part stays for the next try."""
        have = self.part.stat().st_size if self.part.exists() else 0
        # Packed on its way, a file would have another length, and could not be continued.
        header = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=header, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == 416:  # there is no rest: the part is as long as the file
                shutil.move(self.part, output_file)
                return
            response.raise_for_status()
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise requests.ConnectionError("the server packs the file on its way")
            begins = response.headers.get("Content-Range", f"bytes {have}-")
            if response.status_code != 206 or not begins.startswith(f"bytes {have}-"):
                have = 0  # the whole file comes, or another part: begin anew
                if response.status_code == 206:
                    self.part.unlink()
                    raise requests.ConnectionError(f"the server sent another part: {begins}")
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
