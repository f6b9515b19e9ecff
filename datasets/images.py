"""Image files as arrays of a network's input size."""

import io
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from minibp.device import available_cores
from minibp.errors import DamagedFileError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
MOST_PIXELS = 64_000_000
PIXELS_A_BYTE = 8 * 1032  # what a PNG of one bit a pixel can pack at most
AS_THEY_ARE = {"RGB", "L"}
CONVERTIBLE = {"1", "LA", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"}


def is_image(name: str) -> bool:
    """Return whether a name is an image file's."""
    return name.lower().endswith(SUFFIXES)


def decode(content: bytes, name: str, *, lenient: bool = False) -> Image.Image:
    """Return an RGB or grey (L) image of 8 bits.

    lenient  convert palettes, transparency and CMYK to RGB, as is needed for some images of
             published data sets; a user's own are not changed behind their back

    Raises DamagedFileError for what is no image, truncated, of zero or huge size, animated, of
    more than 8 bits, or to be converted.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        width, height = image.size
        if not 0 < width * height <= min(MOST_PIXELS, PIXELS_A_BYTE * len(content)):
            raise DamagedFileError(
                f"{name} says it has {width}x{height} pixels, in {len(content)} bytes: expected 1 "
                f"to {MOST_PIXELS}, and no more than such a file can hold."
            )
        if getattr(image, "is_animated", False):
            raise DamagedFileError(
                f"{name}: an animation of {image.n_frames} frames, not an image."
            )
        if _bits(image, content) > 8:
            raise DamagedFileError(f"{name} has more than 8 bits a channel: save it with 8 bits.")
        image.load()
    except DamagedFileError:
        raise
    except Exception as error:  # a broken file can make a codec raise anything
        raise DamagedFileError(
            f"{name} is not a whole image of {', '.join(FORMATS)}: {error or type(error).__name__}."
        ) from error
    transparent = "transparency" in image.info
    if image.mode in AS_THEY_ARE and not transparent:
        return image
    if image.mode not in CONVERTIBLE | AS_THEY_ARE:
        raise DamagedFileError(
            f"{name} has more than 8 bits a channel (mode {image.mode}): save it with 8 bits."
        )
    if not lenient:
        raise DamagedFileError(
            f"{name} is a {image.mode} image (palette, transparency, bilevel or CMYK): convert it "
            f"to RGB or grey, as with Pillow's image.convert('RGB')."
        )
    if image.mode in ("P", "PA") or transparent:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _bits(image: Image.Image, content: bytes) -> int:
    """Return how many bits a channel has in the file: Pillow cuts some to 8 without a word."""
    if image.format == "PNG":
        return content[24]
    if image.format == "PPM":
        numbers = re.sub(rb"#[^\n]*", b"", content[:500]).split()
        plain = content[:2] in (b"P1", b"P4")
        return 1 if plain or len(numbers) < 4 else int(numbers[3]).bit_length()
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (1,)))
    return 8


def fit(image: Image.Image, shape: tuple[int, int, int], resize: str = "squash") -> np.ndarray:
    """Return the image as uint8 of a shape (H, W, C), C 1 or 3.

    resize  "squash": to the shape whatever the aspect; "crop": the largest centred part of the
            shape's aspect. Bicubic, over all pixels that an output pixel covers (antialiased), as
            MATLAB's imresize, which the paper's engine had at hand
    """
    height, width, channels = shape
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        if resize == "crop":
            image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
        else:
            image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.uint8).reshape(shape)


def fit_all(
    contents: Iterable[tuple[str, bytes]], shape: tuple[int, int, int], resize: str, lenient: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, array) of image files in their order; decoded by as many threads as cores."""

    def work(name: str, content: bytes) -> tuple[str, np.ndarray]:
        return name, fit(decode(content, name, lenient=lenient), shape, resize)

    threads = available_cores()
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        for name, content in contents:
            waiting.append(pool.submit(work, name, content))
            if len(waiting) > 8 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
