"""Archives that are broken, or not to be trusted."""

import gzip
import io
import lzma
import tarfile
import tracemalloc
import zipfile

import miniatures
import pytest
from minibp_datasets.tree import ALLOWANCE, Tree

from minibp.errors import DamagedFileError, InputError

FILES = {"a/1.txt": b"one", "b/2.txt": b"two" * 1000, "a/empty.txt": b""}


def write(path, files=FILES):
    """Write files to a folder, a zip or a tar, by the path's ending."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif ".t" in path.name:
        packing = {"gz": "gz", "tgz": "gz", "xz": "xz", "bz2": "bz2"}.get(path.suffix[1:], "")
        miniatures.tar(path, files, f"w:{packing}")
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


KINDS = ["folder", "x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.xz", "x.tar.bz2"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_files_from_each_kind(tmp_path, kind):
    tree = Tree(write(tmp_path / kind))
    assert sorted(tree.names()) == sorted(FILES)
    assert dict(tree.read(FILES)) == FILES
    assert dict(tree.read(["b/2.txt"])) == {"b/2.txt": FILES["b/2.txt"]}


def test_a_tar_in_a_zip(tmp_path):
    inner = write(tmp_path / "in.tar.gz").read_bytes()
    tree = Tree(write(tmp_path / "x.zip", {"d/in.tar.gz": inner})).inside("d/in.tar.gz")
    assert dict(tree.read(FILES)) == FILES


@pytest.mark.parametrize("ending", ["bin", "bin.gz", "bin.xz"])
def test_a_single_file_is_a_tree_of_one(tmp_path, ending):
    pack = {"gz": gzip.compress, "xz": lzma.compress}.get(ending[4:], bytes)
    (tmp_path / f"x.{ending}").write_bytes(pack(b"content"))
    assert dict(Tree(tmp_path / f"x.{ending}").read(["x.bin"])) == {"x.bin": b"content"}


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_files_are_not_there(tmp_path, kind):
    hidden = {"a/._1.txt": b"", ".DS_Store": b"", "__MACOSX/a/1.txt": b""}
    assert sorted(Tree(write(tmp_path / kind, FILES | hidden)).names()) == sorted(FILES)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_and_too_large_files(tmp_path, kind):
    tree = Tree(write(tmp_path / kind))
    with pytest.raises(DamagedFileError, match=r"1 files are missing, such as 'c\.txt'"):
        list(tree.read(["a/1.txt", "c.txt"]))
    with pytest.raises(DamagedFileError, match=r"b/2\.txt is larger than 100 bytes"):
        list(tree.read(["b/2.txt"], limit=100))


def test_a_place_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Tree(tmp_path / "x.tar").names()


@pytest.mark.parametrize("name", ["/etc/x.txt", "../x.txt", "a/../../x.txt", "C:/x", "a\\..\\x"])
@pytest.mark.parametrize("kind", ["x.zip", "x.tar", "x.tar.gz"])
def test_names_that_lead_elsewhere(tmp_path, kind, name):
    path = write(tmp_path / kind, {"a/1.txt": b"one", name: b"evil"})
    with pytest.raises(DamagedFileError, match=r"path|leads out") as error:
        Tree(path).names()
    assert str(path) in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == [kind]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar(tmp_path, kind):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        info = tarfile.TarInfo("a/1.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DamagedFileError, match="is a link, a device or"):
        Tree(tmp_path / "x.tar").names()


def test_links_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("a/1.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DamagedFileError, match="is a link or a device"):
        Tree(tmp_path / "x.zip").names()


def test_an_encrypted_zip(tmp_path):
    content = bytearray(write(tmp_path / "x.zip").read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := content.find(signature, start)) >= 0:
            content[start + place] |= 1
            start += 4
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DamagedFileError, match="encrypted"):
        dict(Tree(tmp_path / "x.zip").read(["a/1.txt"]))


def test_a_file_twice(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a/1.txt"), io.BytesIO())
    with pytest.raises(DamagedFileError, match=r"has 'a/1\.txt' twice"):
        Tree(tmp_path / "x.tar").names()


@pytest.mark.parametrize("kind", ["x.tar", "x.tar.gz", "x.tar.xz", "x.tar.bz2", "x.zip"])
def test_cut_anywhere(tmp_path, kind):
    """At each cut the error is clear, and no archive passes for whole."""
    content = write(tmp_path / kind).read_bytes()
    if kind.endswith("tar"):  # 10,240-byte records: the end has zeros to spare
        content = content.rstrip(b"\0") + b"\0" * 511
    step = max(1, len(content) // 150)
    for length in range(0, len(content) - 1, step):
        (tmp_path / kind).write_bytes(content[:length])
        with pytest.raises(DamagedFileError) as error:
            dict(Tree(tmp_path / kind).read(FILES))
        assert str(tmp_path / kind) in str(error.value)


@pytest.mark.parametrize("kind", ["x.tar.gz", "x.tar.xz", "x.tar.bz2"])
def test_a_bomb(tmp_path, kind):
    """A small archive of a very large file of zeros is not unpacked to its end."""
    size = 20 * ALLOWANCE
    packing = kind.rpartition(".")[2]
    with tarfile.open(tmp_path / kind, f"w:{packing}") as archive:
        info = tarfile.TarInfo("a/zeros.jpg")
        info.size = size
        archive.addfile(info, Zeros(size))
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match="larger than it can honestly be"):
        Tree(tmp_path / kind).names()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * ALLOWANCE


def test_a_bomb_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(40):
            archive.writestr(f"{k}.jpg", bytes(ALLOWANCE // 8))
    with pytest.raises(DamagedFileError, match="larger than it can honestly be"):
        Tree(tmp_path / "x.zip").names()


class Zeros(io.RawIOBase):
    """A file of zeros that takes no memory."""

    def __init__(self, size):
        self.left = size

    def read(self, size=-1):
        size = self.left if size < 0 else min(size, self.left)
        self.left -= size
        return bytes(size)
