"""How alike two trained networks see the same samples: linear CKA, block by block.

Kornblith, Norouzi, Lee & Hinton, "Similarity of Neural Network Representations Revisited" (ICML
2019).
"""

from collections.abc import Mapping

import numpy as np

from minibp.errors import InputError


def linear_cka(A: np.ndarray, B: np.ndarray) -> float:
    """Return the linear centred kernel alignment of two sets of features (samples, …), 0 to 1.

    ‖Bᵀ A‖² / (‖Aᵀ A‖ ‖Bᵀ B‖) with Frobenius norms and centred columns: 1 if B is A turned,
    mirrored and scaled; nan if one of them is the same for all samples. It is computed from the
    products of samples, so features may be many.

    >>> A = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]])
    >>> round(linear_cka(A, -3 * A[:, ::-1]), 12)
    1.0

    Raises InputError if the numbers of samples differ.
    """
    if len(A) != len(B):
        raise InputError(f"features of {len(A)} and of {len(B)} samples: expected the same ones.")
    return alignment(gram(A), gram(B))


def similarities(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the linear CKA of each of one network's blocks (rows) with each of another's."""
    ours, theirs = ([gram(A) for A in blocks.values()] for blocks in (one, other))
    return np.array([[alignment(K, L) for L in theirs] for K in ours])


def gram(A: np.ndarray) -> np.ndarray:
    """Return the products (samples, samples) of centred features (samples, …), float64."""
    A = A.reshape(len(A), -1).astype(np.float64)
    A -= A.mean(axis=0)
    return A @ A.T


def alignment(K: np.ndarray, L: np.ndarray) -> float:
    """Return how alike two tables of products are: the cosine of the angle between them."""
    size = float(np.linalg.norm(K) * np.linalg.norm(L))
    return float((K * L).sum() / size) if size > 0 else float("nan")
