"""MATLAB files, SPHERE audio, and the text files of data sets."""

import struct
import zlib

import miniatures
import numpy as np
import pytest
import scipy.io
from minibp_datasets import indoor67, matfile, speech, sphere, sufrw, timit80

from minibp.errors import DamagedFileError

ARRAYS = {"X": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "y": np.array([[1.5, 2.5]])}


def mat(path, arrays=ARRAYS, **options):
    scipy.io.savemat(path, arrays, **options)
    return path


@pytest.mark.parametrize("do_compression", [False, True])
def test_matlab_arrays(tmp_path, do_compression):
    path = mat(tmp_path / "x.mat", ARRAYS | {"note": "text"}, do_compression=do_compression)
    found = matfile.read(path, ("X", "y"), 1000)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_matlab_arrays_that_are_missing_or_of_another_kind(tmp_path):
    path = mat(tmp_path / "x.mat", ARRAYS | {"s": "text", "c": np.array([{}, 1], object)})
    for name in ("s", "c", "z"):
        with pytest.raises(DamagedFileError, match=rf"lacks the numeric array {name}; it has X"):
            matfile.read(path, ("X", name), 1000)


def test_a_matlab_array_that_is_too_large(tmp_path):
    path = mat(tmp_path / "x.mat", {"X": np.zeros(10**6)}, do_compression=True)
    assert path.stat().st_size < 20000
    with pytest.raises(DamagedFileError, match="more than 1000 bytes"):
        matfile.read(path, ("X",), 1000)


@pytest.mark.parametrize("do_compression", [False, True])
def test_matlab_files_cut_anywhere(tmp_path, do_compression):
    content = mat(tmp_path / "x.mat", do_compression=do_compression).read_bytes()
    for length in range(len(content)):
        (tmp_path / "x.mat").write_bytes(content[:length])
        with pytest.raises(DamagedFileError, match=r"x\.mat"):
            matfile.read(tmp_path / "x.mat", ("X", "y"), 1000)


def test_matlab_dimensions_that_overflow(tmp_path):
    content = mat(tmp_path / "x.mat").read_bytes()
    place = content.index(struct.pack("<3i", 2, 3, 4))
    for shape in ((2**31 - 1,) * 3, (-2, -3, 4), (2, 3, 5), (0, 3, 4)):
        broken = content[:place] + struct.pack("<3i", *shape) + content[place + 12 :]
        (tmp_path / "x.mat").write_bytes(broken)
        with pytest.raises(DamagedFileError, match="of shape"):
            matfile.read(tmp_path / "x.mat", ("X",), 1000)


def test_other_versions_of_matlab_files(tmp_path):
    for content, words in (
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 200, "7.3"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\0" * 99, "7.3"),
        (b"\0" * 300, "no MATLAB 5 header"),
    ):
        (tmp_path / "x.mat").write_bytes(content)
        with pytest.raises(DamagedFileError, match=words):
            matfile.read(tmp_path / "x.mat", ("X",), 1000)


def test_a_compressed_element_that_lies_about_its_size(tmp_path):
    content = mat(tmp_path / "x.mat", do_compression=False).read_bytes()
    element = content[128:]
    packed = zlib.compress(element[:4] + struct.pack("<I", 10**9) + element[8:])
    (tmp_path / "x.mat").write_bytes(content[:128] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(DamagedFileError, match="no array of its size"):
        matfile.read(tmp_path / "x.mat", ("X",), 10**7)


SAMPLES = np.array([0, 1, -1, 32767, -32768], np.int16)


def test_sphere():
    rate, samples = sphere.read(miniatures.sphere_file(SAMPLES), "x.wav")
    assert rate == 16000
    np.testing.assert_array_equal(samples, SAMPLES)
    swapped = miniatures.sphere_file(SAMPLES.byteswap(), sample_byte_format="-s2 10")
    np.testing.assert_array_equal(sphere.read(swapped, "x.wav")[1], SAMPLES)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample_coding": "-s26 pcm,embedded-shorten-v2.00"}, "sph2pipe"),
        ({"channel_count": "-i 2"}, "one channel"),
        ({"sample_n_bytes": "-i 1"}, "two-byte"),
        ({"sample_count": "-i 6"}, "6 samples, of which 5"),
        ({"sample_count": "-i -1"}, "-1 samples"),
        ({"sample_count": "-s1 5"}, "integers"),
        ({"sample_count": "-i five"}, "not a NIST SPHERE"),
        ({"sample_count": None}, "lacks 'sample_count'"),
        ({"sample_rate": "-i 0"}, "integers"),
        ({"sample_byte_format": "-s2 02"}, "lacks '02'"),
    ],
)
def test_sphere_headers(changes, words):
    with pytest.raises(DamagedFileError, match=rf"a\.wav.*{words}"):
        sphere.read(miniatures.sphere_file(SAMPLES, **changes), "a.wav")


def test_sphere_cut_anywhere():
    content = miniatures.sphere_file(SAMPLES)
    for length in range(len(content)):
        with pytest.raises(DamagedFileError, match=r"a\.wav"):
            sphere.read(content[:length], "a.wav")
    with pytest.raises(DamagedFileError, match="RIFF"):
        sphere.read(b"RIFF\x10\0\0\0WAVEfmt ", "a.wav")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 100\n",
        "0 100 aa bb\n",
        "x 100 aa\n",
        "-1 5 aa\n",
        "9 5 aa\n",
        "0 99999999999 a",
        "0 9999999 aa",
        "0 100 aa\n50 120 b",
        "0 " + "9" * 5000 + " aa",
    ],
)
def test_phone_lists(text):
    with pytest.raises(DamagedFileError, match=r"x\.PHN"):
        timit80.parse_phones(text.encode(), "x.PHN")


def test_lists_of_images():
    assert indoor67.parse_list(b"a/1.jpg\r\nb/2.jpg\n\n", "x") == ["a/1.jpg", "b/2.jpg"]
    for text in (b"", b"1.jpg", b"../1.jpg", b"a/b/c.jpg", b"\xff\xfe"):
        with pytest.raises(DamagedFileError, match="x"):
            indoor67.parse_list(text, "x")


def test_lists_of_people():
    images = ["d/1.jpg", "d/2.jpg", "d/0003.jpg"]
    people = sufrw.parse_list(b"1 # Ann A\n2 # Bob\n1 # Ann A\n", images, "x")
    assert people == {"Ann A": ["d/1.jpg", "d/0003.jpg"], "Bob": ["d/2.jpg"]}
    assert sufrw.parse_list(b"2 # A\n1 # B", images, "x") == {"A": ["d/2.jpg"], "B": ["d/1.jpg"]}
    for text in (b"1 Ann", b"1 #", b"1 # A\n1 # A\n1 # A\n1 # A", b"1 # A\n4 # B"):
        with pytest.raises(DamagedFileError, match="x, line"):
            sufrw.parse_list(text, images, "x")


def test_a_tone_is_in_the_band_of_its_frequency():
    t = np.arange(16000) / 16000
    for hertz in (300, 1000, 3000):
        x = speech.features(np.round(8000 * np.sin(2 * np.pi * hertz * t)).astype(np.int16), 16000)
        assert x.shape == (98, 123)
        peaks = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42) / 2595) - 1)
        assert x[50, :40].argmax() == abs(peaks[1:-1] - hertz).argmin()
        assert abs(x[10:-10, 41:]).max() < 0.05  # nothing changes, so differences vanish


def test_differences_are_slopes():
    x = np.arange(20.0)[:, None] * [[1, -2]]
    np.testing.assert_allclose(speech.differences(x)[2:-2], np.tile([[1, -2]], (16, 1)))


def test_filters_are_triangles_that_add_to_one_between_the_first_and_last_peak():
    bank = speech.filters(512, 16000)
    assert bank.shape == (40, 257)
    total = bank.sum(axis=0)
    first, last = bank[0].argmax(), bank[-1].argmax()
    np.testing.assert_allclose(total[first + 1 : last], 1, atol=1e-9)


def test_silence_has_features():
    assert np.isfinite(speech.features(np.zeros(1000, np.int16), 16000)).all()


def test_context_repeats_the_ends():
    x = np.arange(5.0)[:, None]
    np.testing.assert_array_equal(speech.in_context(x, 1), [0] * 6 + [0, 1, 2, 3, 4, 4, 4, 4, 4])
