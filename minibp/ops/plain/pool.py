"""Max and average pooling. Padding adds no cells: the window is clipped to the image, so the
maximum ignores the border and the average divides by the number of cells inside."""

from minibp.device import Array, namespace
from minibp.ops.plain.im2col import pad
from minibp.ops.window import Padding, Pair, output_size, span


def max_pool(X: Array, window: Pair, stride: int, padding: Padding) -> tuple[Array, Array]:
    """Return Y (B, OH, OW, C), the maximum of each window of X (B, H, W, C), and where it was.

    The second array holds its place in the window in scan order (0 … kh·kw−1), the first of equal
    ones. NaN wins over any number.
    """
    OH, OW = output_size(X.shape[1], X.shape[2], window, stride, padding)
    X = pad(X, padding, value=-float("inf"))
    xp = namespace(X)
    for place, cell in enumerate(_cells(window)):
        x = X[:, span(cell[0], OH, stride), span(cell[1], OW, stride)]
        if place == 0:
            Y, first = x.copy(), xp.zeros(x.shape, dtype="int16")
        else:
            first = xp.maximum(first, (x > Y).astype("int16") * place)
            Y = xp.maximum(Y, x)
    return Y, first


def max_pool_dX(
    dY: Array,
    first: Array,
    shape: tuple[int, ...],
    window: Pair,
    stride: int,
    padding: Padding,
) -> Array:
    """Return dX of X's shape: each dY goes whole to the first maximum of its window."""
    cells = ((cell, dY * (first == place)) for place, cell in enumerate(_cells(window)))
    return _scatter(cells, dY, shape, stride, padding)


def avg_pool(X: Array, window: Pair, stride: int, padding: Padding) -> Array:
    """Return Y (B, OH, OW, C), the mean over the cells of each window inside X (B, H, W, C)."""
    OH, OW = output_size(X.shape[1], X.shape[2], window, stride, padding)
    inside = _cells_inside(X, X.shape, window, stride, padding)
    X = pad(X, padding)
    Y = namespace(X).zeros((X.shape[0], OH, OW, X.shape[3]), dtype=X.dtype)
    for i, j in _cells(window):
        Y += X[:, span(i, OH, stride), span(j, OW, stride)]
    return Y / inside


def avg_pool_dX(
    dY: Array, shape: tuple[int, ...], window: Pair, stride: int, padding: Padding
) -> Array:
    """Return dX of X's shape: each dY is shared equally by the cells of its window."""
    dY = dY / _cells_inside(dY, shape, window, stride, padding)
    return _scatter(((cell, dY) for cell in _cells(window)), dY, shape, stride, padding)


def _cells(window: Pair):
    return [(i, j) for i in range(window[0]) for j in range(window[1])]


def _scatter(cells, like: Array, shape: tuple[int, ...], stride: int, padding: Padding) -> Array:
    """Add each ((i, j), values) to the cells (i, j) of all windows; cut the padding off."""
    top, bottom, left, right = padding
    B, H, W, C = shape
    OH, OW = like.shape[1:3]
    padded = namespace(like).zeros((B, H + top + bottom, W + left + right, C), dtype=like.dtype)
    for (i, j), values in cells:
        padded[:, span(i, OH, stride), span(j, OW, stride)] += values
    return padded[:, top : top + H, left : left + W]


def _cells_inside(like: Array, shape: tuple[int, ...], window: Pair, stride: int, padding: Padding):
    """Return (OH, OW, 1): how many cells of each window lie inside the image."""
    xp = namespace(like)
    sides = []
    for size, extent, before, after in zip(
        shape[1:3], window, padding[::2], padding[1::2], strict=True
    ):
        start = xp.arange((size + before + after - extent) // stride + 1) * stride - before
        sides.append(xp.minimum(start + extent, size) - xp.maximum(start, 0))
    return (sides[0][:, None, None] * sides[1][None, :, None]).astype(like.dtype)
