"""What is known of a data set before any of it is here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """An original file as its publisher names it.

    mirrors    addresses: the name is appended to those that end in "/"; none if the file has to be
               got by hand
    checksum   such as "md5:…", or "" where no published one is known
    published  who published the checksum
    contents   of a packed file, the checksum of what is in it: packed anew it is still the original
    others     names that it may have, too, such as when it is unpacked
    """

    name: str
    mirrors: tuple[str, ...] = ()
    checksum: str = ""
    published: str = ""
    contents: str = ""
    others: tuple[str, ...] = ()

    def addresses(self) -> list[str]:
        """Return the whole addresses.

        >>> File("a.tgz", ("http://x.org/data/", "http://y.org/files/7")).addresses()
        ['http://x.org/data/a.tgz', 'http://y.org/files/7']
        """
        return [mirror + self.name if mirror.endswith("/") else mirror for mirror in self.mirrors]


@dataclass(frozen=True)
class About:
    """A data set by the paper's protocol (Sec. 5).

    train, test  samples by the protocol; 0 where it does not say
    network      of Table 1
    terms        licence, or terms of use
    origin       page to read, and to cite
    protocol     how training and test samples are chosen
    files        the originals
    by_hand      what to get and from whom, for a data set that cannot be downloaded
    """

    name: str
    title: str
    classes: int
    train: int
    test: int
    network: str
    terms: str
    origin: str
    protocol: str
    files: tuple[File, ...] = ()
    by_hand: str = ""

    @property
    def verifiable(self) -> bool:
        """Whether each file has a published checksum."""
        return all(file.checksum for file in self.files) and bool(self.files)
