"""A contact sheet: samples of a data set with their class names."""

import io
import textwrap

import numpy as np
from matplotlib.figure import Figure

from minibp.errors import InputError
from minibp.training.data import Data

FEW = 20  # up to so many classes have a row of samples each; more have one sample each
ACROSS = 10
MOST = 200  # classes that are shown
PICTURE, ROW = 15, 30  # letters in a line of a name, over one picture or the first of a row


def contact_sheet(data: Data, part: str = "train") -> bytes:
    """Return a PNG of a part of the data, "train" or "test": for few classes ten samples of each,
    for many one. Vectors are shown as 15 frames of 123 features if they are TIMIT's."""
    X, y = getattr(data, f"X_{part}"), getattr(data, f"y_{part}")
    if X.ndim == 4 and X.shape[3] not in (1, 3):
        raise InputError(f"images of {X.shape[3]} channels cannot be shown: expected 1 or 3.")
    each, shown = ACROSS if data.classes <= FEW else 1, min(data.classes, MOST)
    rows = [np.flatnonzero(y == label)[:each] for label in range(shown)]
    across = ACROSS if each > 1 else min(ACROSS, shown)
    down = shown if each > 1 else -(-shown // across)
    figure = Figure(figsize=(1.1 * across + 1, 1.25 * down + 0.6), layout="constrained")
    shape = " × ".join(map(str, X.shape[1:]))
    title = f"{data.name}, {part} set: {len(y)} samples of {shape}, {data.classes} classes"
    figure.suptitle(_plain(title), parse_math=False)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for label, found in enumerate(rows):
        name = data.class_names[label] if label < len(data.class_names) else f"class {label}"
        for k, row in enumerate(found):
            axes = grid[label, k] if each > 1 else grid[divmod(label, across)]
            axes.imshow(_picture(X[row]), cmap="gray", interpolation="nearest")
            if k == 0:
                text = _short(_plain(name), 1 if each > 1 else 2)
                axes.set_title(text, fontsize=7, loc="left", pad=2, parse_math=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90)
    return png.getvalue()


def _short(name: str, lines: int) -> str:
    """Return a name cut to one line of ROW letters, or to lines no wider than its picture.

    >>> print(_short("a yellow lady's slipper of the Alps", 2))
    a yellow lady's
    slipper of the…
    """
    width = ROW if lines == 1 else PICTURE
    return "\n".join(textwrap.wrap(name, width, max_lines=lines, placeholder="…"))


def _plain(text: str) -> str:
    """Return the text without what no font can draw, such as bytes that are no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _picture(x: np.ndarray) -> np.ndarray:
    """Return (H, W) or (H, W, 3) to look at."""
    if x.ndim == 1:
        width = 123 if x.size % 123 == 0 else int(np.ceil(np.sqrt(x.size)))
        x = np.pad(x, (0, -x.size % width)).reshape(-1, width)
    elif x.shape[2] == 1:
        x = x[..., 0]
    if x.dtype != np.uint8 and x.ndim == 3:
        low, high = x.min(), x.max()
        x = (x - low) / ((high - low) or 1)
    return x
