"""Eqs. 1 and 2 as matrix products."""

from minibp.device import Array


def linear(X: Array, W: Array, b: Array | None) -> Array:
    """Return N_j = Σ_i W_ij X_i (+ b_j) (Eq. 1): X (B, I), W (I, J), b (J,) or None, N (B, J)."""
    N = X @ W
    return N if b is None else N + b


def linear_dW(X: Array, dN: Array) -> Array:
    """Return dW_ij = Σ_b X_i dN_j: X (B, I), dN (B, J), dW (I, J)."""
    return X.T @ dN


def linear_dX(dN: Array, V: Array) -> Array:
    """Return dX_i = Σ_j V_ij dN_j (Eq. 2): dN (B, J), V (I, J), dX (B, I)."""
    return dN @ V.T
