"""Eqs. 1 and 2 as they are printed, index by index: slow, and the oracle of the tests."""

import numpy as np


def forward(X: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return N_j = Σ_i W_ij X_i (Eq. 1) for one sample: X (I,), W (I, J), N (J,).

    >>> forward(np.array([1.0, 2.0]), np.array([[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]))
    array([15., 18., 21.])
    """
    I, J = W.shape
    N = np.zeros(J, X.dtype)
    for j in range(J):
        for i in range(I):
            N[j] += W[i, j] * X[i]
    return N


def backward(dY: np.ndarray, f_prime: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Return ∂E/∂X_i = Σ_j V_ij f′(N_j) ∂E/∂Y_j (Eq. 2): dY and f′(N) (J,), V (I, J), dX (I,)."""
    I, J = V.shape
    dX = np.zeros(I, dY.dtype)
    for i in range(I):
        for j in range(J):
            dX[i] += V[i, j] * f_prime[j] * dY[j]
    return dX


def weight_gradient(X: np.ndarray, dY: np.ndarray, f_prime: np.ndarray) -> np.ndarray:
    """Return ∂E/∂W_ij = X_i f′(N_j) ∂E/∂Y_j for one sample: no feedback weight occurs in it."""
    I, J = len(X), len(dY)
    dW = np.zeros((I, J), X.dtype)
    for i in range(I):
        for j in range(J):
            dW[i, j] = X[i] * f_prime[j] * dY[j]
    return dW


def conv_forward(
    X: np.ndarray, W: np.ndarray, stride: int, padding: tuple[int, int, int, int]
) -> np.ndarray:
    """Return Eq. 1 at every position of one image: X (H, W, C), W (kh, kw, C, J), N (OH, OW, J).

    i runs over the inputs (a, c, k) of a position; inputs outside the image are 0.
    """
    N = np.zeros((*_positions(X.shape, W.shape, stride, padding), W.shape[3]), X.dtype)
    for y, x, j in np.ndindex(N.shape):
        for a, c, k in np.ndindex(W.shape[:3]):
            row, column = y * stride - padding[0] + a, x * stride - padding[2] + c
            if 0 <= row < X.shape[0] and 0 <= column < X.shape[1]:
                N[y, x, j] += W[a, c, k, j] * X[row, column, k]
    return N


def conv_backward(
    dN: np.ndarray,
    V: np.ndarray,
    shape: tuple[int, int, int],
    stride: int,
    padding: tuple[int, int, int, int],
) -> np.ndarray:
    """Return Eq. 2 for one image: dN (OH, OW, J) = f′(N) ∘ dY, V (kh, kw, C, J), dX of `shape`."""
    dX = np.zeros(shape, dN.dtype)
    for y, x, j in np.ndindex(dN.shape):
        for a, c, k in np.ndindex(V.shape[:3]):
            row, column = y * stride - padding[0] + a, x * stride - padding[2] + c
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                dX[row, column, k] += V[a, c, k, j] * dN[y, x, j]
    return dX


def _positions(shape, kernel, stride, padding):
    top, bottom, left, right = padding
    return (
        (shape[0] + top + bottom - kernel[0]) // stride + 1,
        (shape[1] + left + right - kernel[1]) // stride + 1,
    )
