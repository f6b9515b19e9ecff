"""The arithmetic of windows that slide over an image: sizes, paddings, strides."""

from minibp.checks import is_whole
from minibp.errors import InputError

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]  # (top, bottom, left, right)


def output_size(height: int, width: int, window: Pair, stride: int, padding: Padding) -> Pair:
    """Return (OH, OW), the number of window positions down and across.

    >>> output_size(32, 32, window=(3, 3), stride=2, padding=(0, 1, 0, 1))
    (16, 16)
    """
    top, bottom, left, right = padding
    OH = (height + top + bottom - window[0]) // stride + 1
    OW = (width + left + right - window[1]) // stride + 1
    if OH < 1 or OW < 1:
        raise InputError(
            f"a window of {window[0]}x{window[1]} does not fit into an image of {height}x{width} "
            f"with padding {padding}: use a larger image, a smaller window or more padding."
        )
    return OH, OW


def check_window(window: Pair, stride: int, padding: Padding) -> None:
    """Raise InputError unless the window and stride are positive and the padding non-negative."""
    if len(window) != 2 or not all(is_whole(n) and n > 0 for n in (*window, stride)):
        raise InputError(f"window {window}, stride {stride}: expected integers of 1 or more.")
    four = isinstance(padding, tuple | list) and len(padding) == 4
    if not four or not all(is_whole(n) and n >= 0 for n in padding):
        raise InputError(f"padding {padding}: expected (top, bottom, left, right), each 0 or more.")


def span(start: int, count: int, stride: int) -> slice:
    """Return the slice that takes `count` elements from `start` on, `stride` apart."""
    return slice(start, start + stride * (count - 1) + 1, stride)


def check_pool(window: Pair, stride: int, padding: Padding) -> None:
    """Raise InputError as `check_window` does, and for padding that could hold a whole window."""
    check_window(window, stride, padding)
    if max(padding[:2]) >= window[0] or max(padding[2:]) >= window[1]:
        raise InputError(f"padding {padding} could hold a whole window of {window}: use less.")
