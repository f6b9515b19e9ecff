"""What a tier offers: the arithmetic that layers ask for, and what a training asks besides.

Three tiers fulfil it: `minibp.ops.plain` is array code, `minibp.ops.cpu` is compiled by Numba,
`minibp.ops.cuda` is CUDA C. A new tier derives from `Ops` and writes the arithmetic; the rest has
defaults, which say that the tier has none of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np

from minibp.device import Array
from minibp.ops.update import Update
from minibp.ops.window import Padding, Pair
from minibp.rng import Draws, Stream


class Ops:
    """The operations on arrays of one device. Each result is a new array, but see `kept`."""

    errors_stay = True  # False: those of a layer are overwritten once the one below has its own
    compiled = False  # True promises blocks, and `update`: a network can then be fused
    resident = False  # True promises `feed`: samples in the device's memory, and steps by replay

    # Arithmetic: every tier has all of it. Shapes and equations are in minibp/ops/plain/.

    def linear(self, X: Array, W: Array, b: Array | None) -> Array:
        """Return N = X W + b (Eq. 1): X (B, I), W (I, J), b (J,) or None, N (B, J)."""
        raise NotImplementedError

    def linear_dW(self, X: Array, dN: Array) -> Array:
        """Return dW (I, J) = Xᵀ dN: X (B, I), dN (B, J)."""
        raise NotImplementedError

    def linear_dX(self, dN: Array, V: Array) -> Array:
        """Return dX (B, I) = dN Vᵀ (Eq. 2): dN (B, J), V (I, J)."""
        raise NotImplementedError

    def conv2d(self, X: Array, W: Array, b: Array | None, stride: int, padding: Padding) -> Array:
        """Return N (B, OH, OW, J), Eq. 1 at every position: X (B, H, W, C), W (kh, kw, C, J)."""
        raise NotImplementedError

    def conv2d_dW(self, X: Array, dN: Array, kernel: Pair, stride: int, padding: Padding) -> Array:
        """Return dW (kh, kw, C, J): X (B, H, W, C), dN (B, OH, OW, J)."""
        raise NotImplementedError

    def conv2d_dX(
        self, dN: Array, V: Array, shape: tuple[int, ...], stride: int, padding: Padding
    ) -> Array:
        """Return dX of X's shape, Eq. 2 at every position: dN (B, OH, OW, J), V (kh, kw, C, J)."""
        raise NotImplementedError

    def max_pool(
        self, X: Array, window: Pair, stride: int, padding: Padding
    ) -> tuple[Array, Array]:
        """Return the maximum of each window of X (B, H, W, C), and which of its cells it was."""
        raise NotImplementedError

    def max_pool_dX(
        self,
        dY: Array,
        first: Array,
        shape: tuple[int, ...],
        window: Pair,
        stride: int,
        padding: Padding,
    ) -> Array:
        """Return dX of X's shape from dY and the cells, `first`, that `max_pool` returned."""
        raise NotImplementedError

    def avg_pool(self, X: Array, window: Pair, stride: int, padding: Padding) -> Array:
        """Return the mean over each window's cells inside X (B, H, W, C)."""
        raise NotImplementedError

    def avg_pool_dX(
        self, dY: Array, shape: tuple[int, ...], window: Pair, stride: int, padding: Padding
    ) -> Array:
        """Return dX of X's shape: each dY is shared equally by the cells of its window."""
        raise NotImplementedError

    def relu(self, N: Array) -> Array:
        """Return max(N, 0), of N's shape; NaN stays NaN."""
        raise NotImplementedError

    def relu_dN(self, N: Array, dY: Array) -> Array:
        """Return f′(N) ∘ dY, with f′(0) = 0."""
        raise NotImplementedError

    def sigmoid(self, N: Array) -> Array:
        """Return Y = 1 / (1 + exp(−N)), of N's shape, without overflow."""
        raise NotImplementedError

    def sigmoid_dN(self, Y: Array, dY: Array) -> Array:
        """Return f′(N) ∘ dY from Y = f(N)."""
        raise NotImplementedError

    def tanh(self, N: Array) -> Array:
        """Return Y = tanh(N), of N's shape."""
        raise NotImplementedError

    def tanh_dN(self, Y: Array, dY: Array) -> Array:
        """Return f′(N) ∘ dY from Y = f(N)."""
        raise NotImplementedError

    def add(self, A: Array, B: Array) -> Array:
        """Return Y = A + B, of one shape: what a skip connection does."""
        raise NotImplementedError

    def add_dX(self, dA: Array, dB: Array) -> Array:
        """Return dX = dA + dB, the errors from two paths."""
        return self.add(dA, dB)

    def normalize(self, X: Array, eps: float) -> tuple[Array, Array, Array]:
        """Return X̂ = (X − μ)/s, μ and s = √(σ² + ε) of each feature: X (B, …, C), μ, s (C,)."""
        raise NotImplementedError

    def normalize_dX(self, dXhat: Array, Xhat: Array, std: Array) -> Array:
        """Return dX of `normalize`, of X̂'s shape; μ and s depend on X, too."""
        raise NotImplementedError

    def feature_sum(self, X: Array) -> Array:
        """Return the sum (C,) of X (B, …, C) over all its axes but the last."""
        raise NotImplementedError

    def cross_entropy(self, N: Array, labels: Array) -> tuple[Array, Array]:
        """Return the mean loss E and dN = ∂E/∂N: N, dN (B, J), labels (B,)."""
        raise NotImplementedError

    # What a tier may do for a training: faster, with less memory

    def kept(self, above: "Ops | None" = None) -> "Ops":
        """Return the operations for one layer, whose results the next step may overwrite, and whose
        errors the layers below may.

        above: another layer's of the same chain; the errors of both then share their arrays.
        """
        return self

    def conv_block(
        self, stride: int, padding: Padding, relu: bool, pooling: "Pooling | None"
    ) -> "BlockOps | None":
        """Return convolution → (BN) → (ReLU) → (pooling) in one go; None where it has none."""
        return None

    def dense_block(self, relu: bool) -> "BlockOps | None":
        """Return fully connected → (BN) → (ReLU) in one go; None where it has none."""
        return None

    def update(self, updates: list[Update]) -> None:
        """Do Eq. 3, and set each V, in place and in one pass; only where `compiled`. All have one
        dtype, and those that it concerns one rate, and one step of their streams."""
        raise NotImplementedError

    def draws(self, stream: Stream, step: int) -> Draws:
        """Return a stream's random numbers at a step. They are the same on every tier; one that
        replays steps draws them on its device."""
        return stream.at(step)

    def feed(
        self, data: Array, labels: Array, centre: Array, scale: Array, padding: int = 0
    ) -> "ResidentFeed":
        """Return batches (x − centre) / scale of data on the device; only where `resident`.

        padding  zeros around images that are moved
        """
        raise NotImplementedError

    def working(self) -> AbstractContextManager:
        """Return a context manager for a run: on a CPU it limits BLAS to one thread, on a GPU it
        selects the run's stream."""
        return nullcontext()


class Pooling(NamedTuple):
    """How a block pools: kind is "max" or "avg"."""

    kind: str
    window: Pair
    stride: int
    padding: Padding


Gradients = tuple[Array | None, Array, Array | None, Array | None, Array | None]


class BlockOps:
    """Forward and backward of a layer with weights and of what follows it, for one such layer."""

    dN: Array | None = None  # (B, J), of the last backward of a fully connected layer
    adds = False  # whether its forward can add a shortcut's output

    def forward(
        self,
        X: Array,
        W: Array,
        b: Array | None,
        scale: Array | None,
        shift: Array | None,
        eps: float,
        stored: tuple[Array, Array] | None,
        added: Array | None = None,
    ) -> tuple[Array, Array | None, Array | None]:
        """Return the block's output Y, μ and s.

        scale, shift  (J,) of Batch Normalization, or None for none: μ and s are then None, too
        stored        (μ, s) to normalize with, or None to take the batch's own
        added         of Y's shape, added to N, or to normalized N, before the ReLU; where `adds`
        """
        raise NotImplementedError

    def backward(
        self,
        X: Array,
        dY: Array,
        W_shape: tuple[int, ...],
        V: Array | None,
        scale: Array | None,
        mean: Array | None,
        std: Array | None,
        *,
        learns: bool = True,
    ) -> Gradients:
        """Return dX (None if V is), dW, db, dscale and dshift of the last training forward.

        scale   (J,), or None if the block has no Batch Normalization
        learns  whether scale and shift may differ from 1 and 0
        """
        raise NotImplementedError


class ResidentFeed:
    """Samples in the device's memory, and what a replayed step reads and writes there.

    A step does `next`, its work, and `tick`. These go on in the device's memory alone, so that they
    can be replayed: `count` has the host follow.
    """

    size = 500  # of a batch, where it makes no difference
    total: Array  # (1,), the sum of the losses of all samples since `begin`

    def __len__(self) -> int:
        raise NotImplementedError

    def begin(self, order: np.ndarray | None, moves: np.ndarray | None = None) -> None:
        """Start anew, with the samples in this order, or as they come, and perhaps with moves
        (n, 3): where in its padded image each is cropped, and whether it is mirrored."""
        raise NotImplementedError

    def next(self, size: int) -> tuple[Array, Array]:
        """Return the batch whose turn it is: inputs (size, …) and labels (size,)."""
        raise NotImplementedError

    def tick(self, E: Array, size: int) -> None:
        """End a step on `size` samples of mean loss E."""
        raise NotImplementedError

    def count(self, size: int) -> None:
        """Note on the host what `tick` did in the device's memory."""
        raise NotImplementedError

    def tell(self, rate: float, step: int) -> None:
        """Write the learning rate and the number of the next step where the kernels read them."""
        raise NotImplementedError

    @property
    def told(self) -> tuple[float, int]:
        """The rate and the number in the device's memory, as the host knows them."""
        raise NotImplementedError

    def batches(
        self,
        sizes: Sequence[int],
        order: np.ndarray | None = None,
        moves: np.ndarray | None = None,
    ) -> Iterator[tuple[Array, Array]]:
        """Yield batches of these sizes, of the samples in the order given, or as they come."""
        raise NotImplementedError
