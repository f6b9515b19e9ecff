"""Losses of a classifier: softmax cross-entropy, which is the paper's (Sec. 5), and sigmoid's."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minibp.device import Array, namespace
from minibp.errors import InputError
from minibp.ops.contract import Ops
from minibp.ops.plain import PlainOps

PLAIN = PlainOps()
Loss = Callable[..., tuple[Array, Array]]  # of N, labels and perhaps ops


def softmax_cross_entropy(N: Array, labels: Array, ops: Ops = PLAIN) -> tuple[Array, Array]:
    """Return E, the mean loss over the batch, and dN = ∂E/∂N (B, J).

    N (B, J) are the network's outputs, stable for any finite values; labels (B,) are integers in
    0 … J−1. E stays on the device, as an array without axes. `ops` does the arithmetic.

    Raises InputError for labels of another shape or type, and, on the CPU, for one out of range
    (on a GPU the check would wait for the device: there a run checks before the upload).

    >>> E, dN = softmax_cross_entropy(np.array([[0.0, 0.0]]), np.array([1]))
    >>> print(E.round(4), dN)
    0.6931 [[ 0.5 -0.5]]
    """
    _check(N, labels)
    return ops.cross_entropy(N, labels)


def sigmoid_cross_entropy(N: Array, labels: Array, ops: Ops = PLAIN) -> tuple[Array, Array]:
    """Return E, summed over the outputs and averaged over the batch, and dN = (σ(N) − T)/B.

    Each output j says by itself, with probability σ(N_j), whether the class is j. Shapes, and what
    is raised, are those of `softmax_cross_entropy`. Akrout et al. (2019) train with it.

    >>> E, dN = sigmoid_cross_entropy(np.array([[0.0, 0.0]]), np.array([1]))
    >>> print(E.round(4), dN)
    1.3863 [[ 0.5 -0.5]]
    """
    _check(N, labels)
    xp, T = namespace(N, labels), one_hot(labels, N)
    E = xp.maximum(N, 0) - T * N + xp.log1p(xp.exp(-abs(N)))  # −log σ(N) or −log(1 − σ(N))
    return E.sum() / len(N), (ops.sigmoid(N) - T) / len(N)


@dataclass(frozen=True)
class Smoothed:
    """A loss with targets (1 − s) T + s/J in place of T (B, J): s is `share`, 0 to 1.

    Both losses are linear in the targets, with −N for their factor. So E and dN are the loss's own,
    and what the change of the targets adds. Szegedy et al. (2016), Sec. 7.

    >>> E, dN = Smoothed(softmax_cross_entropy, 0.2)(np.array([[0.0, 0.0]]), np.array([1]))
    >>> print(E.round(4), dN)
    0.6931 [[ 0.4 -0.4]]
    """

    loss: Loss
    share: float

    def __call__(self, N: Array, labels: Array, ops: Ops = PLAIN) -> tuple[Array, Array]:
        """Return E and dN (B, J), as the loss does."""
        E, dN = self.loss(N, labels, ops)
        less = self.share * (one_hot(labels, N) - 1 / N.shape[1]) / len(N)  # of the targets, by B
        return E + (less * N).sum(), dN + less


def smoothed(loss: Loss, share: float) -> Loss:
    """Return the loss with smoothed targets; itself for a share of 0."""
    return Smoothed(loss, share) if share else loss


LOSSES = {"softmax": softmax_cross_entropy, "sigmoid": sigmoid_cross_entropy}


def _check(N: Array, labels: Array) -> None:
    xp = namespace(N, labels)
    if N.ndim != 2 or labels.shape != N.shape[:1] or labels.dtype.kind not in "iu":
        raise InputError(
            f"expected N (B, J) and integer labels (B,), got N {N.shape} and "
            f"labels {labels.shape} of {labels.dtype}."
        )
    J = N.shape[1]
    if xp is np and len(N) and not 0 <= labels.min() <= labels.max() < J:
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()}, "
            f"but the network has {J} outputs: expected 0 to {J - 1}."
        )


def one_hot(labels: Array, like: Array) -> Array:
    """Return the targets T (B, J), 1 at each sample's label and else 0, of N's shape and dtype.

    >>> one_hot(np.array([1, 0]), np.zeros((2, 2)))
    array([[0., 1.],
           [1., 0.]])
    """
    classes = namespace(like, labels).arange(like.shape[-1])
    return (labels[:, None] == classes).astype(like.dtype)
