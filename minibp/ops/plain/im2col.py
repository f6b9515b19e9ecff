"""Images to columns and back: what turns a convolution into Eq. 1's matrix product."""

from minibp.device import Array, namespace
from minibp.ops.window import Padding, Pair, output_size, span


def pad(X: Array, padding: Padding, value: float = 0.0) -> Array:
    """Return X (B, H, W, C) with a border of `value`, or X itself where the padding is zero."""
    if not any(padding):
        return X
    top, bottom, left, right = padding
    B, H, W, C = X.shape
    padded = namespace(X).full((B, H + top + bottom, W + left + right, C), value, dtype=X.dtype)
    padded[:, top : top + H, left : left + W] = X
    return padded


def im2col(X: Array, kernel: Pair, stride: int, padding: Padding) -> Array:
    """Return the columns (B, OH, OW, kh·kw·C) of X (B, H, W, C): each position's inputs, in the
    order of W.reshape(-1, J)."""
    output_size(*X.shape[1:3], kernel, stride, padding)  # raises if the kernel does not fit
    X = pad(X, padding)
    windows = namespace(X).lib.stride_tricks.sliding_window_view(X, kernel, axis=(1, 2))
    columns = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)  # a view: no copy yet
    return columns.reshape(*columns.shape[:3], -1)


def col2im(columns: Array, shape: tuple[int, ...], kernel: Pair, stride: int, padding: Padding):
    """Return the image (B, H, W, C) of the given shape in which each element is the sum of all its
    copies in the columns: the adjoint of `im2col`."""
    B, H, W, C = shape
    top, bottom, left, right = padding
    OH, OW = output_size(H, W, kernel, stride, padding)
    columns = columns.reshape(B, OH, OW, *kernel, C)
    padded = namespace(columns).zeros((B, H + top + bottom, W + left + right, C), columns.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            padded[:, span(i, OH, stride), span(j, OW, stride)] += columns[:, :, :, i, j]
    return padded[:, top : top + H, left : left + W]
