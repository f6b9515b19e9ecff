import io
import struct
import zlib

import numpy as np
import pytest
from minibp_datasets.images import MOST_PIXELS, decode, fit, fit_all, opened
from minibp_datasets.own_images import ORIENTATION, UPRIGHT, changes, shape_of
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


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK", "1", "YCbCr"])
def test_modes_with_one_meaning_are_converted(mode, own):
    format = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    image = decode(save(RGB.convert(mode), format), "cat.png", own=own)
    assert image.size == RGB.size
    assert image.mode == ("L" if mode == "1" and own else "RGB")
    like = RGB.convert("L") if mode == "LA" else RGB
    if mode not in ("P", "1"):
        np.testing.assert_allclose(np.asarray(image), np.asarray(like.convert("RGB")), atol=3)


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
@pytest.mark.parametrize("own", [False, True])
def test_modes_of_no_clear_meaning(mode, own):
    image = Image.new(mode, (4, 4)) if mode == "LAB" else RGB.convert("L").convert(mode)
    with pytest.raises(DamagedFileError, match=rf"x\.tif: .*mode {mode}|more than 8 bits"):
        decode(save(image, "TIFF"), "x.tif", own=own)


def deep(bits=16):
    """Return what is grey of 16 bits, and the nearest of 8."""
    values = np.arange(120).reshape(12, 10) * ((1 << bits) - 1) // 119
    return values.astype(np.uint16), np.rint(values * 255 / ((1 << bits) - 1))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_of_grey(format):
    values, expected = deep()
    content = b"P5 10 12 65535\n" + values.astype(">u2").tobytes()
    content = content if format == "PPM" else save(Image.fromarray(values), format)
    with pytest.raises(DamagedFileError, match=r"x\.png: more than 8 bits"):
        decode(content, "x.png")
    image = decode(content, "x.png", own=True)
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("kind", ["PNG", "PPM"])
def test_sixteen_bits_of_colour(kind):
    """Pillow cuts these to 8 bits without a word."""
    samples = np.arange(0, 36 * 1800, 1800).astype(">u2")
    if kind == "PPM":
        content = b"P6 3 4 65535\n" + samples.tobytes()
    else:
        rows = [b"\0" + row.tobytes() for row in samples.reshape(4, 9)]
        content = png(3, 4, 16, b"".join(rows))
    with pytest.raises(DamagedFileError, match="more than 8 bits"):
        decode(content, "x")
    found = np.asarray(decode(content, "x", own=True)).ravel()
    np.testing.assert_allclose(found, samples / 257, atol=1)


def test_transparent_images_lie_on_white():
    half = RGB.copy()
    half.putalpha(
        Image.fromarray(
            np.repeat([[0], [255], [128]], [4, 4, 4], axis=0).repeat(10, 1).astype("uint8")
        )
    )
    found = np.asarray(decode(save(half), "x", own=True)).astype(int)
    original = np.asarray(RGB).astype(int)
    assert (found[:4] == 255).all()
    np.testing.assert_array_equal(found[4:8], original[4:8])
    np.testing.assert_allclose(found[8:], 255 - (255 - original[8:]) * 128 / 255, atol=1)
    colour = tuple(original[3, 3].tolist())
    found = np.asarray(decode(save(RGB, transparency=colour), "x", own=True))
    assert (found[3, 3] == 255).all()
    assert (found[3, 4] == original[3, 4]).all()
    assert (np.asarray(decode(save(RGB, transparency=colour), "x"))[3, 3] == colour).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "MPO"])
@pytest.mark.parametrize("way", range(1, 9))
def test_a_users_images_are_upright(format, way):
    """Whatever way the camera was held: EXIF says it, and every viewer obeys."""
    marked = np.zeros((32, 48, 3), np.uint8)
    marked[:16, :24] = 255  # the quarter at the top left
    upright = Image.fromarray(marked)
    exif = Image.Exif()
    exif[ORIENTATION] = way
    turned = upright
    if way in UPRIGHT:
        back = {Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270}
        back |= {b: a for a, b in back.items()}
        turned = upright.transpose(back.get(UPRIGHT[way], UPRIGHT[way]))
    content = save(turned, format, exif=exif)
    image = decode(content, "x", own=True)
    assert image.size == upright.size
    np.testing.assert_allclose(np.asarray(image), marked, atol=90)
    assert shape_of(opened(content)) == (32, 48, 3)
    assert changes(opened(content), 8) == ["turned by EXIF orientation"] * (way > 1)
    assert decode(content, "x").size == turned.size  # of a published set, as it lies in the file


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_says_nothing():
    content = save(RGB, "JPEG", exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert decode(content, "x", own=True).size == RGB.size


def test_a_photograph_of_a_phone_is_its_first_image():
    content = save(RGB, "MPO", save_all=True, append_images=[RGB.rotate(180)])
    assert opened(content).n_frames == 2
    for own in (False, True):
        found = np.asarray(decode(content, "x.jpg", own=own)).astype(int)
        expected = np.asarray(decode(save(RGB, "JPEG"), "x")).astype(int)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        (RGB.convert("P"), (12, 10, 3)),
        (RGB.convert("L").convert("P"), (12, 10, 1)),
        (RGB.convert("LA"), (12, 10, 1)),
        (RGB.convert("1"), (12, 10, 1)),
        (Image.fromarray(deep()[0]), (12, 10, 1)),
    ],
)
def test_the_shape_before_decoding(image, shape):
    assert shape_of(opened(save(image))) == shape


@pytest.mark.parametrize("own", [False, True])
def test_animations(own):
    content = save(RGB, "GIF", save_all=True, append_images=[RGB.rotate(90)])
    with pytest.raises(DamagedFileError, match=r"x\.gif: an animation of 2 frames"):
        decode(content, "x.gif", own=own)


def test_what_is_no_image_is_named():
    """Not by an address in Python's memory."""
    with pytest.raises(DamagedFileError, match=r"x: an empty file\.$"):
        decode(b"", "x")
    with pytest.raises(DamagedFileError, match=r"x: not a whole .*begins with b'<html>404</h'\.$"):
        decode(b"<html>404</html>", "x")


def test_all_faults_are_told_at_once():
    good = save(RGB)
    contents = [(f"{k}.png", b"" if k % 2 else good) for k in range(30)]
    contents += [("cut.png", good[:-40]), ("31.png", good)]
    names = []

    def collect():
        for name, _ in fit_all(contents, (4, 4, 3), "squash", True):
            names.append(name)

    with pytest.raises(DamagedFileError) as error:
        collect()
    assert names == [f"{k}.png" for k in range(0, 30, 2)] + ["31.png"]
    words = str(error.value)
    assert words.startswith("16 images cannot be used. 1.png, 3.png, 5.png, 7.png, 9.png, 11.png, ")
    assert "17.png, 19.png and 5 more: an empty file. cut.png: not a whole image" in words


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


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP"])
def test_cut_anywhere(format, own):
    content = save(RGB.convert("L"), format)
    for length in range(0, len(content) - (24 if format == "PNG" else 2), 7):
        with pytest.raises(DamagedFileError, match=r"x\.img"):
            decode(content[:length], "x.img", own=own)


def test_formats_that_are_no_images():
    for content in (b"hello", b"%!PS-Adobe-3.0\n", b"<svg/>"):
        with pytest.raises(DamagedFileError, match="x: not a whole image"):
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
