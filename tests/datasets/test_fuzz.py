"""Every parser on mutated files: a clear error or a result, never a crash, hang or flood of memory.

The quick suite tries a few inputs a parser, `pytest -m slow tests/datasets/test_fuzz.py` 2,000.
"""

import gzip
import io
import lzma
import tracemalloc
from pathlib import Path

import h5py
import miniatures
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minibp_datasets import (
    arrays,
    cifar10,
    idx,
    images,
    indoor67,
    matfile,
    sphere,
    stl10,
    sufrw,
    timit80,
)
from minibp_datasets.tree import Tree

from minibp.errors import InputError

SLACK = 12 << 20  # of memory, beyond twice the honest file's size, packed or not
FEW, MANY = 40, 2000


def own_arrays():
    rng = np.random.default_rng(0)
    return {
        "X": rng.integers(0, 256, (12, 5, 5), np.uint8),
        "y": np.arange(12) % 3,
    }


def mat(do_compression):
    file = io.BytesIO()
    content = own_arrays() | {"text": "abc"}
    scipy.io.savemat(file, content, do_compression=do_compression)
    return file.getvalue()


def npz():
    file = io.BytesIO()
    np.savez_compressed(file, **own_arrays())
    return file.getvalue()


def h5():
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        for name, array in own_arrays().items():
            h5[name] = array
    return file.getvalue()


def archive(kind):
    import tarfile
    import zipfile

    file = io.BytesIO()
    files = {"a/1.jpg": miniatures.image(1), "a/2.jpg": miniatures.image(2), "b/3.txt": b"x" * 999}
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode=f"w:{kind}") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def from_file(parse, name):
    """Return a parser of contents for one of paths."""

    def work(content, folder):
        path = Path(folder) / name
        path.write_bytes(content)
        return parse(path)

    return work


def walk(path):
    tree = Tree(path)
    return [len(content) for _, content in tree.read(tree.names())]


def direct(parse):
    return lambda content, _: parse(content)


def picture(own):
    return lambda content, _: images.fit(images.decode(content, "x", own=own), (9, 9, 3))


PICTURES = {
    f"{format} {mode}{' of a user' if own else ''}": (
        picture(own),
        miniatures.image(77, format=format, mode=mode),
    )
    for format, mode, own in (
        ("JPEG", "RGB", False), ("JPEG", "L", False), ("JPEG", "CMYK", False),
        ("PNG", "RGB", False), ("PNG", "P", False), ("GIF", "P", False), ("BMP", "RGB", False),
        ("PPM", "RGB", False), ("TIFF", "RGB", False), ("WEBP", "RGB", False),
        ("PNG", "RGBA", True), ("JPEG", "CMYK", True), ("TIFF", "RGB", True),
    )
}  # fmt: skip
TARS = {"tar": "", "tar.gz": "gz", "tar.xz": "xz", "tar.bz2": "bz2"}
# name: (parser of (content, a folder to work in), an honest file)
PARSERS = {
    "IDX": (direct(idx.parse), miniatures.idx(np.zeros((3, 4, 5)))),
    "CIFAR": (direct(cifar10.parse), miniatures.records(range(3))),
    "gzip": (direct(lambda b: cifar10.unpack("x.gz", b)), gzip.compress(b"abc" * 99)),
    "xz": (direct(lambda b: cifar10.unpack("x.xz", b)), lzma.compress(b"abc" * 99)),
    "MATLAB": (from_file(lambda p: matfile.read(p, ("X", "y"), 9999), "x.mat"), mat(False)),
    "MATLAB packed": (from_file(lambda p: matfile.read(p, ("X", "y"), 9999), "x.mat"), mat(True)),
    "STL-10 images": (direct(stl10.parse_images), bytes(2 * 27648)),
    "STL-10 labels": (direct(stl10.parse_labels), bytes([1, 2, 3])),
    "SPHERE": (direct(lambda b: sphere.read(b, "x")), miniatures.sphere_file(range(99))),
    "PHN": (direct(lambda b: timit80.parse_phones(b, "x")), b"0 100 h#\n100 250 aa\n"),
    "image list": (direct(lambda b: indoor67.parse_list(b, "x")), b"a/1.jpg\nb/2.jpg\n"),
    "people": (direct(lambda b: sufrw.parse_list(b, ["1.jpg", "2.jpg"], "x")), b"1 # A\n2 # B\n"),
    "npz": (from_file(arrays.load_npz, "x.npz"), npz()),
    "HDF5": (from_file(arrays.load_h5, "x.h5"), h5()),
    "zip": (from_file(walk, "x.zip"), archive("zip")),
    **{name: (from_file(walk, f"x.{name}"), archive(kind)) for name, kind in TARS.items()},
    **PICTURES,
}

WORDS = st.sampled_from(
    [
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\0\0\0\x80",
        b"../",
    ]
)
CHANGE = st.one_of(
    st.tuples(st.just("set"), st.floats(0, 1), st.binary(min_size=1, max_size=4) | WORDS),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=9) | WORDS),
    st.tuples(st.just("cut"), st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.just("end"), st.floats(0, 1), st.none()),
    st.tuples(st.just("repeat"), st.floats(0, 1), st.integers(1, 40)),
)


def mutate(content, changes):
    for kind, place, value in changes:
        k = int(place**2 * len(content))  # headers are at the front
        if kind == "set":
            content = content[:k] + value + content[k + len(value) :]
        elif kind == "insert":
            content = content[:k] + value + content[k:]
        elif kind == "cut":
            content = content[:k] + content[k + int(value * (len(content) - k)) :]
        elif kind == "end":
            content = content[:k]
        else:
            content = content[:k] + content[k : k + value] * 2 + content[k + value :]
    return content


def fuzz(name, folder, examples):
    parse, honest = PARSERS[name]
    parse(honest, folder)
    outcomes = {"result": 0, "error": 0}

    @settings(
        max_examples=examples,
        database=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(st.lists(CHANGE, min_size=1, max_size=4))
    def work(changes):
        content = mutate(honest, changes)
        tracemalloc.start()
        try:
            parse(content, folder)
            outcomes["result"] += 1
        except InputError:
            outcomes["error"] += 1
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 2 * len(honest) + SLACK, f"{peak} bytes of memory for {len(content)}"

    work()
    return outcomes


@pytest.mark.parametrize("name", PARSERS)
def test_a_few_mutations(name, tmp_path):
    outcomes = fuzz(name, tmp_path, FEW)
    assert outcomes["error"] > 0


def trusting(content, _):
    """A parser that believes a file's first bytes."""
    return np.frombuffer(content, np.uint8, offset=4).reshape(int.from_bytes(content[:4], "big"))


def greedy(content, _):
    """A parser that makes room for what a file says it has."""
    return np.zeros(int.from_bytes(content[:4], "big") % (1 << 28), np.uint8) if content else None


@pytest.mark.parametrize(("parse", "error"), [(trusting, ValueError), (greedy, AssertionError)])
def test_the_tester_finds_parsers_that_trust_their_files(parse, error, tmp_path, monkeypatch):
    monkeypatch.setitem(PARSERS, "planted", (parse, b"\0\0\0\x05hello"))
    with pytest.raises(error):
        fuzz("planted", tmp_path, 200)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_many_mutations(name, tmp_path):
    outcomes = fuzz(name, tmp_path, MANY)
    assert sum(outcomes.values()) >= MANY
    print(f"{name}: {outcomes['error']} errors, {outcomes['result']} results")
