"""Convolution by im2col. N and dW use the inputs' columns; dX uses only the filters it is given,
and that is where V goes."""

from minibp.device import Array, namespace
from minibp.ops.plain.im2col import col2im, im2col
from minibp.ops.window import Padding, Pair


def conv2d(X: Array, W: Array, b: Array | None, stride: int, padding: Padding) -> Array:
    """Return N_j = Σ_i W_ij X_i (+ b_j) at every position (Eq. 1).

    X (B, H, W, C), W (kh, kw, C, J), b (J,) or None; returns N (B, OH, OW, J).
    """
    namespace(X, W, b)
    columns = im2col(X, W.shape[:2], stride, padding)
    N = _matrix(columns) @ _matrix(W)
    if b is not None:
        N += b
    return N.reshape(*columns.shape[:3], -1)


def conv2d_dW(X: Array, dN: Array, kernel: Pair, stride: int, padding: Padding) -> Array:
    """Return dW_ij = Σ_b Σ_positions X_i dN_j, of shape (kh, kw, C, J).

    X (B, H, W, C), dN (B, OH, OW, J).
    """
    namespace(X, dN)
    columns = im2col(X, kernel, stride, padding)
    return (_matrix(columns).T @ _matrix(dN)).reshape(*kernel, X.shape[3], -1)


def conv2d_dX(dN: Array, V: Array, shape: tuple[int, ...], stride: int, padding: Padding) -> Array:
    """Return dX_i = Σ_j V_ij dN_j at every position, added up where positions overlap (Eq. 2).

    dN (B, OH, OW, J), V (kh, kw, C, J); returns dX of X's shape (B, H, W, C).
    """
    namespace(dN, V)
    columns = _matrix(dN) @ _matrix(V).T
    return col2im(columns, shape, V.shape[:2], stride, padding)


def _matrix(x: Array) -> Array:
    """Return x with all indices but the last made one: W (kh, kw, C, J) becomes W_ij."""
    return x.reshape(-1, x.shape[-1])
