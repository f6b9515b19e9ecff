"""A data set's files, downloaded or the user's, and whether they are the originals."""

import contextlib
import gzip
import hashlib
import json
import zlib
from pathlib import Path

from minibp_datasets.about import About, File
from minibp_datasets.download import checksum_of, download_folder, fetch, record, recorded
from minibp_datasets.tree import LARGEST, Tree, files_below, is_archive, read_up_to

from minibp.errors import DamagedFileError, InputError


def state(file: File, path: Path) -> tuple[bool, str]:
    """Return whether a file may be used as the original, and in words what it is."""
    if not file.checksum:
        found = checksum_of(path, "sha256")
        first = recorded(path.parent).get(file.name, found)
        if found != first:
            return False, f"not what was first downloaded: expected {first}, found {found}"
        return True, f"there; no checksum is published; {found}"
    found = checksum_of(path, file.checksum.partition(":")[0])
    if found == file.checksum:
        return True, f"the original ({found}, published by {file.published})"
    if file.contents and _contents(path) == file.contents:
        return True, f"the original, packed anew or not ({file.contents} of what is in it)"
    return False, f"not the published file: expected {file.checksum}, found {found}"


def _contents(path: Path) -> str:
    """Return the checksum of what is in a packed file, or of any other file."""
    opener = gzip.open if path.suffix == ".gz" else open
    with contextlib.suppress(OSError, EOFError, zlib.error), opener(path, "rb") as file:
        return f"sha256:{hashlib.sha256(read_up_to(file, LARGEST)).hexdigest()}"
    return ""


class Originals:
    """What a reader takes its files from, and what it took.

    name        of the data set, or of the copy
    place       the user's folder or archive, or None: download
    unverified  a copy under a name of its own: no checksum is expected, and the place is taken as
                it is
    """

    def __init__(
        self, about: About, name: str, place: Path | None, *, unverified: bool, quiet: bool
    ):
        self.about, self.name, self.place = about, name, place
        self.unverified, self.quiet = unverified, quiet
        self.taken: list[dict] = []
        self._fresh: list[Path] = []  # downloads that nobody has vouched for yet
        if place is not None and not place.exists():
            raise InputError(f"{place} does not exist. {self.wanted()}")

    @property
    def folder(self) -> Path:
        """Where the files are, or will be after a download."""
        return self.place or download_folder(self.about.name)

    def file(self, file: File) -> Path:
        """Return the path of a file, which has the published checksum if there is one."""
        if self.place is None and file.mirrors:
            path = fetch(file, self.folder, quiet=self.quiet)
            if not file.checksum and file.name not in recorded(self.folder):
                self._fresh.append(path)
        else:
            path = self.find(file)
        if not self.unverified:
            right, words = state(file, path)
            if not right:
                raise DamagedFileError(
                    f"{path} is {words}. A copy of one's own is loaded under its own name: "
                    f"--unverified {self.about.name}-mycopy."
                )
        self._take(path, "" if self.unverified else file.published)
        return path

    def find(self, file: File) -> Path:
        """Return where a file is, without a download; raise InputError if it is nowhere."""
        names = (file.name, *file.others)
        if self.folder.is_file():
            if len(self.about.files) > 1 and self.folder.name not in names:
                raise InputError(f"{self.folder} is one file of several. {self.wanted()}")
            return self.folder
        found = [path for name in names for path in sorted(self.folder.rglob(name))]
        found = [path for path in found if path.is_file()]
        if not found:
            here = sorted(path.name for path in self.folder.iterdir()) if self._there() else []
            raise InputError(
                f"{self.folder} has no {' or '.join(names)}. It holds "
                f"{', '.join(here[:8]) or 'nothing'}. {self.wanted()}"
            )
        if len(found) > 1 and not self.unverified:
            found.sort(key=lambda path: not state(file, path)[0])
        return found[0]

    def if_there(self, file: File) -> Path | None:
        """Return the path of a file, or None if a copy, which is unverified, lacks it."""
        names = (file.name, *file.others)
        lacking = self.unverified and not any(map(self._has, names))
        return None if lacking else self.file(file)

    def tree(self, file: File) -> Tree:
        """Return the files in an archive, or what is taken in its place."""
        return self.anything() if self.unpacked(file) else Tree(self.file(file))

    def unpacked(self, file: File) -> bool:
        """Return whether all of the place is taken for what is in an archive: of a copy, of a set
        got by hand, and of a place that lacks the archive."""
        by_hand = self.about.by_hand and not (self._there() and self._has(file.name))
        lacking = self.place is not None and not self._has(file.name)
        return bool(self.unverified or by_hand or lacking)

    def anything(self) -> Tree:
        """Return the files of the user's place: a folder or an archive, or the only one in it."""
        if not self._there() and self.about.files:
            raise InputError(self.wanted())
        if self.about.verifiable and not self.unverified:
            raise InputError(
                f"{self.folder} has none of the published files of {self.about.title}: "
                f"{', '.join(file.name for file in self.about.files)}. A copy in another form is "
                f"loaded under a name of its own: --unverified {self.about.name}-mycopy instead of "
                f"--dataset {self.about.name}."
            )
        place = only_archive(self.folder, strict=self.unverified)
        self._take(place, "")
        return Tree(place)

    def wanted(self) -> str:
        """Return what to get, from whom, and where to put it."""
        about = self.about
        names = ", ".join(file.name for file in about.files)
        what = about.by_hand or f"Its original files are {names}, from {about.origin}."
        return (
            f"{about.title} ({about.name}): {what} Put them into {download_folder(about.name)}, or "
            "give the folder they are in with --data-dir."
        )

    def vouch(self) -> None:
        """Record the checksums of downloads that nobody has published: they could be read."""
        for path in self._fresh:
            record(self.folder, path)

    def reject(self) -> None:
        """Remove these downloads: they could not be read, and the next try is to be fresh."""
        for path in self._fresh:
            path.unlink(missing_ok=True)

    def fingerprint(self) -> str:
        """Return eight digits that change with the files: their published checksums if they have
        any, else their places, names, sizes, times and numbers in the file system."""
        if not self.unverified and self.about.verifiable:
            facts = [[file.name, file.checksum] for file in self.about.files]
        elif self.place is None and not self.about.by_hand:
            facts = [[file.name, *file.mirrors] for file in self.about.files]
        else:
            folder = self.folder.resolve()
            facts = [str(folder), *map(_identity, sorted(files_below(folder)))]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]

    def _there(self) -> bool:
        return self.folder.is_file() or (self.folder.is_dir() and any(self.folder.iterdir()))

    def _has(self, name: str) -> bool:
        if self.folder.is_file():
            return self.folder.name == name
        return any(path.is_file() for path in self.folder.rglob(name))

    def _take(self, path: Path, published: str) -> None:
        if any(entry["file"] == str(path) for entry in self.taken):
            return
        entry = {"file": str(path), "verified_by": published or None}
        if path.is_file():
            entry |= {"bytes": path.stat().st_size, "sha256": checksum_of(path, "sha256")[7:]}
        self.taken.append(entry)


def only_archive(place: Path, *, strict: bool) -> Path:
    """Return the archive in a folder that holds nothing else, or the place itself; raise
    InputError, if `strict`, for a folder with archives among other things."""
    if place.is_file():
        return place
    inside = [path for path in sorted(place.iterdir()) if not path.name.startswith(".")]
    archives = [path for path in inside if is_archive(path)]
    if len(archives) == 1 == len(inside):
        return archives[0]
    if archives and strict:
        raise InputError(
            f"{place} holds several things, {', '.join(path.name for path in inside[:8])}: give "
            "the path of the one meant."
        )
    return place


def _identity(path: Path) -> list:
    facts = path.stat()
    return [str(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
