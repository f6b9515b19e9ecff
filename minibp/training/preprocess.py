"""From pixels to the network's inputs (Sec. 5 is silent; docs/assumptions.md gives the reasons)."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import h5py
import numpy as np
from threadpoolctl import threadpool_limits

from minibp.device import Array, Device, namespace
from minibp.errors import InputError
from minibp.files import cache_folder, replacing

CONTRAST_FLOOR = 40.0  # no image's contrast is raised as if its std were below this
ZCA_FLOOR = 10.0  # nor an eigenvector's as if its std were below this
ARRAYS = ("mean", "whiten", "contrast")  # of a whitening, as kept
LAYOUT = 1  # to be raised when the fit changes
CHUNK = 1000  # images at a time, so that a fit needs little memory
MOST_INPUTS = 8192  # of a whitening, whose matrix has that many rows and columns
ONE_FIT = threading.Lock()  # limits of BLAS's threads are the whole process's


@dataclass(frozen=True)
class Affine:
    """(X − centre) / scale, for samples X (B, …), uint8 or float; each has a sample's shape, or is
    None: left out."""

    dtype: str
    centre: Array | None = None
    scale: Array | None = None

    def __call__(self, X: Array) -> Array:
        """Return inputs (B, …) of the dtype."""
        X = X.astype(self.dtype)
        X = X if self.centre is None else X - self.centre
        return X if self.scale is None else X / self.scale


@dataclass(frozen=True)
class Whitening:
    """Less the mean image and its own mean; contrasts brought to one; then times a matrix.

    mean (inputs,), whiten (inputs, inputs), contrast (): fitted on a training set
    """

    mean: Array
    whiten: Array
    contrast: Array

    def __call__(self, X: Array) -> Array:
        """Return inputs (B, …), of the mean's dtype."""
        return (self.normalized(X) @ self.whiten).reshape(X.shape)

    def normalized(self, X: Array) -> Array:
        """Return images (B, inputs) of about one contrast."""
        Z, std = _centred(X, self.mean)
        Z *= self.contrast / namespace(X).maximum(std, CONTRAST_FLOOR)
        return Z

    def on(self, device: Device) -> "Whitening":
        """Return the same, for arrays of a device."""
        return Whitening(*map(device.asarray, (self.mean, self.whiten, self.contrast)))


Preprocess = Affine | Whitening


def pack(prepare: Preprocess) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return a preparation as arrays by name, and the rest, JSON-able; `unpack` takes both."""
    if isinstance(prepare, Whitening):
        return {name: np.asarray(getattr(prepare, name)) for name in ARRAYS}, {"kind": "whitening"}
    images = {"centre": prepare.centre, "scale": prepare.scale}
    arrays = {name: image for name, image in images.items() if image is not None}
    return arrays, {"kind": "affine", "dtype": prepare.dtype}


def unpack(arrays: dict[str, np.ndarray], meta: dict[str, str]) -> Preprocess:
    """Return the preparation that was packed.

    >>> centred = Affine("float32", centre=np.ones(2, "float32"))
    >>> unpack(*pack(centred))(np.zeros((1, 2)))
    array([[-1., -1.]], dtype=float32)
    """
    return Whitening(**arrays) if meta["kind"] == "whitening" else Affine(meta["dtype"], **arrays)


def fit(kind: str, X_train: np.ndarray, dtype: str) -> Preprocess:
    """Return what turns samples (B, …), uint8 or float, into inputs of a dtype.

    kind  "mean": subtract the training-mean image; "gcn+zca": that, then global contrast
          normalization and whitening; "standardize": mean 0 and standard deviation 1 of each input,
          and mean 0 of one that is constant up to rounding; "channels": the same of each channel,
          over all places of images; "unit": pixels of 0 to 255 become 0 to 1; "none"; "auto": mean

    It is fitted on the training set alone; "unit" and "none" take nothing from it. A whitening is
    kept in the cache folder, under the checksum of its training set.
    """
    if kind == "none":
        return Affine(dtype)
    if kind == "unit":
        return Affine(dtype, scale=np.full(X_train.shape[1:], 255, dtype))
    if kind == "gcn+zca":
        if X_train[0].size > MOST_INPUTS:
            raise InputError(
                f"gcn+zca of {X_train[0].size} inputs: its matrix would be too large. Expected at "
                f"most {MOST_INPUTS}: choose another --preprocess."
            )
        return Whitening(**_remembered(X_train, dtype, lambda: _fit_gcn_zca(X_train, dtype)))
    if kind == "channels" and X_train.ndim != 4:
        raise InputError(
            f"--preprocess channels of samples of shape {X_train.shape[1:]}: expected images "
            "(H, W, C), or --preprocess standardize."
        )
    mean = X_train.mean(axis=0, dtype=np.float64)
    if kind == "channels":
        mean = np.broadcast_to(mean.mean(axis=(0, 1)), mean.shape)
    if kind in ("mean", "auto"):
        return Affine(dtype, mean.astype(dtype))
    square = sum((chunk**2).sum(axis=0) for chunk in _chunks(X_train, mean))
    if kind == "channels":
        square = np.broadcast_to(square.mean(axis=(0, 1)), square.shape)
    std = np.sqrt(square / len(X_train))
    std[std <= _rounding(X_train, dtype) * abs(mean)] = 1  # what never changes is only centred
    return Affine(dtype, mean.astype(dtype), std.astype(dtype))


def _rounding(X_train: np.ndarray, dtype: str) -> float:
    """Return the relative deviation that rounding alone can give a constant input: of the values as
    given, of those that the run computes with, and of their sum."""
    types = [np.dtype(dtype), *([X_train.dtype] if X_train.dtype.kind == "f" else [])]
    summed = len(X_train) * np.finfo("float64").eps
    return max(summed, *(2 * np.finfo(each).eps for each in types))


def _chunks(X: np.ndarray, mean: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(X), CHUNK):
        yield X[start : start + CHUNK] - mean


def _centred(X: Array, mean: Array) -> tuple[Array, Array]:
    """Return images (B, inputs) less the training mean and each its own, and their std (B, 1)."""
    Z = X.reshape(len(X), mean.size).astype(mean.dtype) - mean
    Z -= Z.mean(axis=1, keepdims=True)
    return Z, Z.std(axis=1, keepdims=True)


def _fit_gcn_zca(X_train: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    """Return the training mean, the whitening matrix and the mean contrast."""
    mean = X_train.mean(axis=0, dtype=np.float64).astype(dtype).ravel()
    parts = [X_train[start : start + CHUNK] for start in range(0, len(X_train), CHUNK)]
    contrast = np.concatenate([_centred(part, mean)[1] for part in parts]).mean()
    covariance, unwhitened = np.zeros((mean.size, mean.size)), Whitening(mean, None, contrast)
    for part in parts:
        Z = unwhitened.normalized(part)
        covariance += Z.T @ Z
    variance, axes = np.linalg.eigh(covariance / len(X_train))
    # Scaled by the mean variance's root, so that the output keeps the input's scale.
    deviation = np.sqrt(np.maximum(variance, 0))
    scale = np.sqrt(variance.mean()) / np.maximum(deviation, ZCA_FLOOR)
    whiten = ((axes * scale) @ axes.T).astype(dtype)
    return {"mean": mean, "whiten": whiten, "contrast": contrast.astype(dtype)}


def _remembered(
    X_train: np.ndarray, dtype: str, compute: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the arrays that were computed for this training set before, or now, by one thread:
    others wait for it."""
    with ONE_FIT:
        return _remembered_alone(X_train, dtype, compute)


def _remembered_alone(
    X_train: np.ndarray, dtype: str, compute: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    facts = (LAYOUT, CONTRAST_FLOOR, ZCA_FLOOR, dtype, X_train.dtype.str, X_train.shape)
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(np.ascontiguousarray(X_train).data)
    path = cache_folder() / "fitted" / f"{digest.hexdigest()[:32]}.h5"
    with contextlib.suppress(OSError, KeyError, ValueError), h5py.File(path) as file:
        kept = {name: file[name][()] for name in ARRAYS}
        if file.attrs["sha256"] == _checksum(kept):
            return kept
    with threadpool_limits(1):  # the same bits on every number of threads
        arrays = compute()
    with contextlib.suppress(OSError):  # a cache that cannot be written is done without
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, h5py.File(partial, "w") as file:
            for name, array in arrays.items():
                file[name] = array
            file.attrs["sha256"] = _checksum(arrays)
    return arrays


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in ARRAYS:
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
