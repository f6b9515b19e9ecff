"""A user's own images: what has one clear meaning as RGB or grey of 8 bits is brought there."""

import contextlib

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # the tag of EXIF; 1 is upright
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ALPHA = {"LA", "PA", "RGBA", "RGBa"}
DEEP = {"I;16", "I;16B", "I;16L", "I;16N"}
COLOUR = {"P", "RGBX", "CMYK", "YCbCr"}
GREY = {"1", "L", "LA", "I", *DEEP}


class Unusable(Exception):
    """An image is broken, or its meaning is not clear; who decodes it tells which one it is."""


def own_image(image: Image.Image, bits: int) -> Image.Image:
    """Return a loaded image upright, in RGB or grey (L) of 8 bits.

    bits  of a channel in the file

    Raises Unusable for numbers that have no clear meaning as 8 bits, such as floating point.
    """
    way = orientation(image)
    if is_deep(image, bits):
        image = _of_8_bits(image, bits)
    elif is_transparent(image):
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in COLOUR:
        image = image.convert("RGB")
    elif image.mode not in ("RGB", "L"):
        raise Unusable(
            f"pixels of mode {image.mode}, whose meaning as 8 bits is not clear: save it as RGB or "
            "grey of 8 bits."
        )
    return image.transpose(UPRIGHT[way]) if way in UPRIGHT else image


def changes(image: Image.Image, bits: int) -> list[str]:
    """Return in words what `own_image` does to an image that was opened."""
    palette = "with a palette"
    words = {"1": "bilevel", "P": palette, "PA": palette, "CMYK": "CMYK", "YCbCr": "YCbCr"}
    found = [words[image.mode]] if image.mode in words else []
    if bits > 8:
        found.append("of more than 8 bits")
    if is_transparent(image) and not is_deep(image, bits):
        found.append("transparent (now on white)")
    return found + (["turned by EXIF orientation"] if orientation(image) in UPRIGHT else [])


def shape_of(image: Image.Image) -> tuple[int, int, int]:
    """Return the shape (H, W, C) that an opened image has when it is upright; C is 1 or 3."""
    width, height = image.size
    if orientation(image) in (5, 6, 7, 8) and image.format != "TIFF":  # Pillow turns these itself
        width, height = height, width
    return height, width, 1 if image.mode in GREY or _is_grey_palette(image) else 3


def orientation(image: Image.Image) -> int:
    """Return how EXIF says that an image lies, from 1 to 8; broken EXIF says nothing."""
    with contextlib.suppress(Exception):
        return int(image.getexif().get(ORIENTATION, 1))
    return 1


def is_transparent(image: Image.Image) -> bool:
    """Return whether an image has an alpha channel, or a colour that stands for none."""
    return image.mode in ALPHA or "transparency" in image.info


def is_deep(image: Image.Image, bits: int) -> bool:
    """Return whether an image is grey, of unsigned numbers of more than 8 bits."""
    plain = image.mode == "I" and image.format in ("PNG", "PPM")  # of TIFF it may be anything
    return 8 < bits <= 16 and (image.mode in DEEP or plain)


def _of_8_bits(image: Image.Image, bits: int) -> Image.Image:
    top = (1 << bits) - 1 if image.format == "TIFF" else 65535  # to which Pillow scales the others
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values * 255 + top // 2) // top).clip(0, 255).astype(np.uint8))


def _is_grey_palette(image: Image.Image) -> bool:
    if image.mode != "P":
        return False
    colours = np.array(image.getpalette("RGB") or [0, 1, 2]).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())
