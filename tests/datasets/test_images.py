import io
import struct
import zlib

import numpy as np
import pytest
from minibp_datasets.images import MOST_PIXELS, decode, fit, fit_all
from PIL import Image

from minibp.errors import DamagedFileError

RGB = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8))


def save(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats(format):
    np.testing.assert_array_equal(np.asarray(decode(save(RGB, format), "x")), np.asarray(RGB))


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK", "1"])
def test_modes_that_are_converted_for_published_data_only(mode):
    format = "TIFF" if mode == "CMYK" else "PNG"
    content = save(RGB.convert(mode), format)
    with pytest.raises(DamagedFileError, match=rf"cat\.png is a {mode} image.*convert it"):
        decode(content, "cat.png")
    image = decode(content, "cat.png", lenient=True)
    assert (image.mode, image.size) == ("RGB", RGB.size)
    if mode in ("RGBA", "CMYK"):
        np.testing.assert_allclose(np.asarray(image), np.asarray(RGB), atol=1)


@pytest.mark.parametrize("lenient", [False, True])
def test_sixteen_bits(lenient):
    deep = Image.fromarray(np.arange(120, dtype=np.uint16).reshape(12, 10) * 500)
    with pytest.raises(DamagedFileError, match=r"x\.png has more than 8 bits"):
        decode(save(deep), "x.png", lenient=lenient)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("kind", ["PNG", "PPM"])
def test_sixteen_bits_of_colour(lenient, kind):
    """Pillow cuts these to 8 bits without a word."""
    samples = np.arange(12, dtype=">u2").tobytes() * 3
    if kind == "PPM":
        content = b"P6 3 4 65535\n" + samples
    else:
        content = png(3, 4, 16, b"".join(b"\0" + samples[18 * k : 18 * k + 18] for k in range(4)))
    with pytest.raises(DamagedFileError, match="more than 8 bits"):
        decode(content, "x", lenient=lenient)


def test_a_transparent_colour():
    content = save(RGB, transparency=(1, 2, 3))
    with pytest.raises(DamagedFileError, match="transparency"):
        decode(content, "x")
    assert decode(content, "x", lenient=True).mode == "RGB"


@pytest.mark.parametrize("lenient", [False, True])
def test_animations(lenient):
    content = save(RGB, "GIF", save_all=True, append_images=[RGB.rotate(90)])
    with pytest.raises(DamagedFileError, match=r"x\.gif: an animation of 2 frames"):
        decode(content, "x.gif", lenient=lenient)


def png(width, height, bits=8, pixels=b""):
    """Return a PNG that says it is of this size, and has these pixels."""
    head = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    packed = zlib.compress(pixels) if pixels else b""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (9000, 9000), (60000, 60000), (2**31 - 1, 7)])
def test_zero_and_huge_sizes(size):
    assert not 0 < size[0] * size[1] <= MOST_PIXELS
    with pytest.raises(DamagedFileError, match=r"x\.png"):
        decode(png(*size), "x.png")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP"])
def test_cut_anywhere(format):
    content = save(RGB.convert("L"), format)
    for length in range(0, len(content) - (24 if format == "PNG" else 2), 7):
        with pytest.raises(DamagedFileError, match=r"x\.img"):
            decode(content[:length], "x.img", lenient=True)


def test_formats_that_are_no_images():
    for content in (b"", b"hello", b"%!PS-Adobe-3.0\n", b"<svg/>"):
        with pytest.raises(DamagedFileError, match="is not a whole image"):
            decode(content, "x")


def test_grey_and_colour_as_the_network_needs():
    grey = fit(RGB, (12, 10, 1))
    np.testing.assert_array_equal(grey[..., 0], np.asarray(RGB.convert("L")))
    colour = fit(RGB.convert("L"), (12, 10, 3))
    assert (colour == colour[..., :1]).all()


def test_enlarging_and_reducing_are_of_the_whole_image():
    ramp = Image.fromarray(np.tile(np.arange(0, 240, 2, np.uint8), (60, 1)))  # 120 wide, 60 high
    small = fit(ramp, (30, 30, 1))[..., 0].astype(int)
    np.testing.assert_allclose(small[5, 2:-2], np.linspace(0, 238, 30)[2:-2], atol=4)
    cropped = fit(ramp, (30, 30, 1), "crop")[..., 0].astype(int)
    np.testing.assert_allclose(cropped[5, 2:-2], np.linspace(60, 178, 30)[2:-2], atol=4)


def test_reducing_is_antialiased():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    small = fit(Image.fromarray(stripes), (16, 16, 1))
    assert abs(small.astype(int) - 127).max() < 12


def test_many_images_in_their_order():
    contents = [(f"{k}", save(Image.new("L", (4, 4), k))) for k in range(100)]
    found = list(fit_all(contents, (4, 4, 1), "squash", False))
    assert [name for name, _ in found] == [name for name, _ in contents]
    assert [int(image[0, 0, 0]) for _, image in found] == list(range(100))
