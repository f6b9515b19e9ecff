"""The product of matrices in a rule's or an update's own text, on whatever device."""

import numpy as np

from minibp.device import Array, Device, at_work, namespace


def matmul(A: Array, B: Array) -> Array:
    """Return A B: A (…, k), B (k, n), of one type, either transposed or not.

    A GPU's step is recorded, and CuPy refuses `@` meanwhile. This is recorded with the rest; a text
    with `@` is launched piece by piece.

    >>> import numpy as np
    >>> matmul(np.ones((2, 3)), np.ones((3, 4))).shape
    (2, 4)
    """
    namespace(A, B)
    device = at_work(A)
    fit = A.ndim >= 2 and B.ndim == 2 and A.dtype == B.dtype and A.shape[-1] == B.shape[0]
    if not fit or A.dtype.kind != "f" or isinstance(A, np.ndarray):
        return A @ B
    if A.ndim > 2:
        return matmul(A.reshape(-1, A.shape[-1]), B).reshape(*A.shape[:-1], B.shape[1])
    if device is None:
        return A @ B
    from minibp.ops.cuda.blas import Blas  # here: only where there is one

    (A, turned), (B, turned_too) = _dense(A, device), _dense(B, device)
    C = device.xp.empty((A.shape[int(turned)], B.shape[int(not turned_too)]), A.dtype)
    Blas.of(device).product(A, B, C, (turned, turned_too))
    return C


def _dense(A: Array, device: Device) -> tuple[Array, bool]:
    """Return a matrix in one piece, and whether it is its transpose."""
    if A.flags.c_contiguous:
        return A, False
    return (A.T, True) if A.T.flags.c_contiguous else (device.xp.ascontiguousarray(A), False)
