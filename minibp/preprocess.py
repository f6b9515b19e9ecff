"""From pixels to the network's inputs (Sec. 5 is silent; docs/assumptions.md gives the reasons)."""

from collections.abc import Callable

import numpy as np

Preprocess = Callable[[np.ndarray], np.ndarray]

CONTRAST_FLOOR = 40.0  # no image's contrast is raised as if its std were below this
ZCA_FLOOR = 10.0  # nor an eigenvector's as if its std were below this


def fit(kind: str, X_train: np.ndarray, network: str, dtype: str) -> Preprocess:
    """Return the function that turns images (B, …), uint8 or float, into inputs of a dtype.

    kind  "mean": subtract the training-mean image; "contrast+zca": that, then contrast
          normalization and whitening; "none"; "auto": contrast+zca for the CIFAR network, else mean
    """
    if kind == "auto":
        kind = "contrast+zca" if network == "cifar" else "mean"
    if kind == "none":
        return lambda X: X.astype(dtype)
    mean = X_train.mean(axis=0, dtype=np.float64).astype(dtype)
    if kind == "mean":
        return lambda X: X.astype(dtype) - mean
    return _contrast_zca(X_train, mean)


def _contrast_zca(X_train: np.ndarray, mean: np.ndarray) -> Preprocess:
    def centre(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        Z = X.reshape(len(X), -1).astype(mean.dtype) - mean.ravel()
        Z -= Z.mean(axis=1, keepdims=True)
        return Z, Z.std(axis=1, keepdims=True)

    Z, std = centre(X_train)
    contrast = std.mean()
    Z *= contrast / np.maximum(std, CONTRAST_FLOOR)
    variance, axes = np.linalg.eigh(Z.T @ Z / len(Z))
    # Scaled by the mean variance's root, so that the output keeps the input's scale.
    deviation = np.sqrt(np.maximum(variance, 0))
    scale = np.sqrt(variance.mean()) / np.maximum(deviation, ZCA_FLOOR)
    whiten = (axes * scale) @ axes.T

    def apply(X: np.ndarray) -> np.ndarray:
        Z, std = centre(X)
        Z *= contrast / np.maximum(std, CONTRAST_FLOOR)
        return (Z @ whiten).reshape(X.shape)

    return apply
