"""A data set's files, downloaded or the user's, and whether they are the originals."""

import contextlib
import gzip
import hashlib
import json
import zlib
from pathlib import Path

from minibp_datasets.about import About, File
from minibp_datasets.download import checksum_of, download_folder, fetch
from minibp_datasets.tree import LARGEST, Tree, is_archive, read_up_to

from minibp.errors import DamagedFileError, InputError


def state(file: File, path: Path) -> tuple[bool, str]:
    """Return whether a file may be used as the original, and in words what it is."""
    if not file.checksum:
        return True, f"there; no checksum is published; {checksum_of(path, 'sha256')}"
    found = checksum_of(path, file.checksum.partition(":")[0])
    if found == file.checksum:
        return True, f"the original ({found}, published by {file.published})"
    if file.contents:
        with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(path) as content:
            if (
                f"sha256:{hashlib.sha256(read_up_to(content, LARGEST)).hexdigest()}"
                == file.contents
            ):
                return True, f"the original, packed anew ({file.contents} of what is in it)"
    return False, f"not the published file: expected {file.checksum}, found {found}"


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
        if place is not None and not place.exists():
            raise InputError(f"--data-dir {place} does not exist. {self.wanted()}")

    def file(self, file: File) -> Path:
        """Return the path of a file, which has the published checksum if there is one."""
        if self.place is None and not file.mirrors:
            path = download_folder(self.about.name) / file.name
            if not path.exists():
                raise InputError(self.wanted())
        elif self.place is None:
            path = fetch(file, download_folder(self.about.name), quiet=self.quiet)
        else:
            path = self.place if self.place.is_file() else self._find(file.name)
        self._verify(path, file)
        return path

    def either(self, file: File, *others: str) -> Path:
        """Return the path of a file under its own or another name; the reader knows the original
        by what is in it."""
        if self.place is None:
            return self.file(file)
        found = (path for name in (file.name, *others) for path in sorted(self.place.rglob(name)))
        path = next(found, None) or self._find(file.name)
        self._take(path, "" if self.unverified else file.published)
        return path

    def tree(self, file: File) -> Tree:
        """Return the files in an archive; of an unverified copy, those of the place."""
        if not self.unverified and (self.place is None or self._has(file.name)):
            return Tree(self.file(file))
        return self.anything()

    def anything(self) -> Tree:
        """Return the files of the user's place: a folder or an archive, or the only one in it."""
        place = self.place or download_folder(self.about.name)
        if not place.exists():
            raise InputError(self.wanted())
        if self.about.verifiable and not self.unverified:
            raise InputError(
                f"{place} has none of the published files of {self.about.title}: "
                f"{', '.join(file.name for file in self.about.files)}. A copy in another form is "
                f"loaded under a name of its own: --unverified {self.about.name}-mycopy instead of "
                f"--dataset {self.about.name}."
            )
        if place.is_dir():
            inside = [path for path in sorted(place.iterdir()) if not path.name.startswith(".")]
            archives = [path for path in inside if is_archive(path)]
            if len(archives) == 1 == len(inside):
                place = archives[0]
            elif archives and self.unverified:
                raise InputError(
                    f"--data-dir {place} holds several things, "
                    f"{', '.join(path.name for path in inside)}: give the path of the one meant."
                )
        self._take(place, "")
        return Tree(place)

    def wanted(self) -> str:
        """Return what to get, from whom, and where to put it."""
        about, folder = self.about, download_folder(self.about.name)
        names = ", ".join(file.name for file in about.files)
        what = about.by_hand or f"Its original files are {names}, from {about.origin}."
        return (
            f"{about.title} ({about.name}): {what} Put them into {folder}, or give the folder they "
            "are in with --data-dir."
        )

    def fingerprint(self) -> str:
        """Return eight digits that change with the files: their published checksums if they are
        downloaded, else names, sizes and times."""
        place = self.place
        if place is None and not self.about.by_hand:
            facts = [[file.name, file.checksum] for file in self.about.files]
        else:
            place = place or download_folder(self.about.name)
            paths = (
                [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
            )
            facts = [
                [str(path.relative_to(place.parent)), path.stat().st_size, path.stat().st_mtime_ns]
                for path in paths
            ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]

    def _has(self, name: str) -> bool:
        return self.place is not None and (
            self.place.name == name or (self.place.is_dir() and bool(list(self.place.rglob(name))))
        )

    def _find(self, name: str) -> Path:
        found = sorted(self.place.rglob(name))
        if not found:
            here = sorted(path.name for path in self.place.iterdir())
            raise InputError(
                f"--data-dir {self.place} has no {name}. It holds "
                f"{', '.join(here[:8]) or 'nothing'}. {self.wanted()}"
            )
        return found[0]

    def _verify(self, path: Path, file: File) -> None:
        right, words = (True, "") if self.unverified else state(file, path)
        if not right:
            raise DamagedFileError(
                f"{path} is {words}. A copy of one's own is loaded under its own name: "
                f"--unverified {self.about.name}-mycopy."
            )
        self._take(path, "" if self.unverified else file.published)

    def _take(self, path: Path, published: str) -> None:
        if any(entry["file"] == path.name for entry in self.taken):
            return
        entry = {"file": path.name, "verified_by": published or None}
        if path.is_file():
            entry |= {"bytes": path.stat().st_size, "sha256": checksum_of(path, "sha256")[7:]}
        self.taken.append(entry)
