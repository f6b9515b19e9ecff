"""How many directions a matrix uses: its effective rank."""

import numpy as np


def effective_rank(A: np.ndarray) -> float | None:
    """Return exp(−Σ p ln p), with p the singular values of A (n, m) divided by their sum.

    1 for a matrix of rank one, min(n, m) where all singular values are equal; None if A is zero or
    not finite (Roy & Vetterli 2007).

    >>> effective_rank(np.eye(5)).__round__(6)
    5.0
    """
    A = A.astype(np.float64)
    return _rank(A @ A.T if len(A) < A.shape[1] else A.T @ A)


def effective_rank_of_product(X: np.ndarray, Y: np.ndarray) -> float | None:
    """Return the effective rank of XᵀY for X (B, I), Y (B, J): the same, and faster where B is
    less than I and J, since XᵀY has at most B singular values.

    With K = X Xᵀ and Y Yᵀ = R Rᵀ they are the roots of the eigenvalues of Rᵀ K R.
    """
    if len(X) >= min(X.shape[1], Y.shape[1]):
        return effective_rank(X.T.astype(np.float64) @ Y)
    X, Y = X.astype(np.float64), Y.astype(np.float64)
    L = Y @ Y.T
    if not (np.isfinite(L).all() and np.isfinite(X).all()):
        return None
    values, vectors = np.linalg.eigh(L)
    R = vectors * np.sqrt(values.clip(0))
    return _rank(R.T @ (X @ X.T) @ R)


def _rank(gram: np.ndarray) -> float | None:
    """Return the effective rank of a matrix whose squared singular values are a Gram matrix's
    eigenvalues. Those that are only rounding, of either sign, count as 0."""
    if not np.isfinite(gram).all():
        return None
    squares = np.linalg.eigvalsh(gram)
    rounding = len(gram) * np.finfo(np.float64).eps * squares[-1]
    sizes = np.sqrt(squares[squares > rounding])
    if not sizes.size:
        return None
    p = sizes / sizes.sum()
    return float(np.exp(-(p * np.log(p)).sum()))
