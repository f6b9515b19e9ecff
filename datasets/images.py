"""Image files as arrays of a network's input size."""

import io
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from minibp_datasets.own_images import Unusable, own_image
from PIL import Image, ImageOps, UnidentifiedImageError

from minibp.device import available_cores
from minibp.errors import DamagedFileError, counted, listed

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"),
    ".webp",
)
# Pictures, too, but none that Pillow alone can read.
OTHERS = (
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".tga", ".psd", ".svg", ".ico", ".pdf"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"),
)
MOST_PIXELS = 64_000_000
PIXELS_A_BYTE = 8 * 1032  # what a PNG of one bit a pixel can pack at most
MOST_FAULTS = 10  # that an error tells
AS_THEY_ARE = {"RGB", "L"}
CONVERTIBLE = {"1", "LA", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"}


def is_image(name: str) -> bool:
    """Return whether a name is an image file's."""
    return name.lower().endswith(SUFFIXES)


def decode(content: bytes, name: str, *, own: bool = False) -> Image.Image:
    """Return an RGB or grey (L) image of 8 bits. Palettes, CMYK and bilevel images are converted.

    own  an image of a user's, not of a published data set: it is turned as its EXIF orientation
         says, laid on white where it is transparent, and brought from 16 bits to 8. Published ones
         are taken as they lie in the file, and those of more than 8 bits refused

    Raises DamagedFileError, as "name: why", for what is no image, truncated, of zero or huge size,
    animated, or of numbers that have no clear meaning as 8 bits.
    """
    try:
        image = opened(content)
        bits = bits_of(image, content)
        if bits > 8 and not own:
            raise Unusable("more than 8 bits a channel: save it with 8 bits.")
        image.load()
        return own_image(image, bits) if own else _published(image)
    except Unusable as error:
        raise DamagedFileError(f"{name}: {error}") from error
    except UnidentifiedImageError as error:  # whose text has no more than an address
        raise DamagedFileError(
            f"{name}: not a whole image of {', '.join(FORMATS)}; it begins with {content[:12]!r}."
        ) from error
    except Exception as error:  # a broken file can make a codec raise anything
        raise DamagedFileError(
            f"{name}: not a whole image of {', '.join(FORMATS)}: {error or type(error).__name__}."
        ) from error


def opened(content: bytes) -> Image.Image:
    """Return the image whose head is in the content, of a size that it can honestly have."""
    if not content:
        raise Unusable("an empty file.")
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    width, height = image.size
    if not 0 < width * height <= min(MOST_PIXELS, PIXELS_A_BYTE * len(content)):
        raise Unusable(
            f"it says it has {width}x{height} pixels, in {len(content)} bytes: expected 1 to "
            f"{MOST_PIXELS}, and no more than such a file can hold."
        )
    # Photographs of a phone are of format MPO: what follows the first are previews.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise Unusable(f"an animation of {image.n_frames} frames, not an image.")
    return image


def bits_of(image: Image.Image, content: bytes) -> int:
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


def _published(image: Image.Image) -> Image.Image:
    transparent = "transparency" in image.info
    if image.mode in AS_THEY_ARE and not transparent:
        return image
    if image.mode not in CONVERTIBLE | AS_THEY_ARE:
        raise Unusable(f"more than 8 bits a channel (mode {image.mode}): save it with 8 bits.")
    if image.mode in ("P", "PA") or transparent:
        image = image.convert("RGBA")
    return image.convert("RGB")


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
    contents: Iterable[tuple[str, bytes]], shape: tuple[int, int, int], resize: str, own: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, array) of image files in their order; decoded by as many threads as cores.

    Raises DamagedFileError at the end for all that could not be decoded.
    """

    def work(name: str, content: bytes) -> tuple[str, np.ndarray | DamagedFileError]:
        try:
            return name, fit(decode(content, name, own=own), shape, resize)
        except DamagedFileError as error:
            return name, error

    faults = []
    for name, result in _side_by_side(work, contents):
        if isinstance(result, DamagedFileError):
            faults.append((name, str(result)))
        else:
            yield name, result
    if faults:
        raise DamagedFileError(_told(faults))


def _side_by_side(work: Callable, contents: Iterable[tuple[str, bytes]]) -> Iterator:
    """Yield what work makes of each, in their order."""
    threads = available_cores()
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        for name, content in contents:
            waiting.append(pool.submit(work, name, content))
            if len(waiting) > 8 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _told(faults: list[tuple[str, str]]) -> str:
    """Return what is wrong with which images, those with the same fault together."""
    if len(faults) == 1:
        return faults[0][1]
    names: dict[str, list[str]] = {}
    for name, text in faults:
        names.setdefault(text.removeprefix(f"{name}: "), []).append(name)
    texts = [f"{listed(some)}: {why}" for why, some in names.items()]
    more = f" And {counted(len(texts) - MOST_FAULTS, 'fault')} more." if texts[MOST_FAULTS:] else ""
    return f"{len(faults)} images cannot be used. " + " ".join(texts[:MOST_FAULTS]) + more
