"""Batch Normalization (Sec. 3)."""

import math

from minibp.device import Array, namespace
from minibp.errors import InputError
from minibp.layers.base import Layer
from minibp.layers.parameter import Parameter
from minibp.ops.plain.norm import spread


class BatchNorm(Layer):
    """Y = X̂, or X̂ ∘ scale + shift where these learn; X̂ = (X − μ)/s, s = √(σ² + ε).

    X (B, C), or (B, H, W, C) normalized per feature map. Training uses the batch's own moments.
    Evaluation uses `mean` and `std` (C,), which `observe` averages over training batches.

    Raises InputError for a training batch with one value a feature: it would be normalized to 0.
    """

    param_names = ("scale", "shift")
    scale, shift = Parameter(), Parameter()

    def __init__(
        self,
        features: int,
        *,
        scale: Array | None = None,
        shift: Array | None = None,
        eps: float = 1e-4,
        name: str = "",
    ):
        super().__init__(name)
        if (scale is None) != (shift is None):
            raise InputError(f"layer {self.path!r}: give both scale and shift, or neither.")
        self.features, self.eps = features, eps
        self.scale, self.shift = scale, shift
        self.mean: Array | None = None
        self.std: Array | None = None

    def forward(self, X: Array, *, train: bool) -> Array:
        self.check_input(X)
        if train:
            self.check_batch(X.shape)
            Xhat, mean, std = self.ops.normalize(X, self.eps)
            self.remember(train, Xhat=Xhat, mean=mean, std=std)
        else:
            mean, std = self.stored_moments(X)
            self.remember(train)
            Xhat = (X - spread(mean, X)) / spread(std, X)
        if self.scale is None:
            return Xhat
        return Xhat * spread(self.scale, X) + spread(self.shift, X)

    def backward(self, dY: Array, *, need_dX: bool = True) -> Array | None:
        Xhat, std = self.recall("Xhat", "std")
        self.grads = {}
        if self.scale is not None:
            self.grads = {
                "scale": self.ops.feature_sum(dY * Xhat),
                "shift": self.ops.feature_sum(dY),
            }
            dY = dY * spread(self.scale, dY)
        return self.ops.normalize_dX(dY, Xhat, std) if need_dX else None

    def check_input(self, X: Array) -> None:
        """Raise unless X (…, C) has as many features as this layer, and its scale's dtype."""
        if X.shape[-1] != self.features:
            raise InputError(f"layer {self.path!r} expects {self.features} features, got {X.shape}")
        if self.scale is not None and X.dtype != self.scale.dtype:
            raise InputError(
                f"layer {self.path!r} computes in {self.scale.dtype}, got X in {X.dtype}."
            )

    def check_batch(self, shape: tuple[int, ...]) -> None:
        """Raise InputError for a training batch (B, …, C) with one value a feature."""
        if math.prod(shape[:-1]) == 1:
            raise InputError(
                f"layer {self.path!r}: a training batch of shape {shape} has one value a feature, "
                "and Batch Normalization would make it 0. Expected two samples or more."
            )

    def stored_moments(self, X: Array) -> tuple[Array, Array]:
        """Return the mean and std to evaluate X with; raise RuntimeError if there are none yet."""
        if self.mean is None:
            raise RuntimeError(
                f"layer {self.path!r} has no moments to evaluate with: "
                "estimate them first, with minibp.training.run.estimate_moments."
            )
        namespace(X, self.mean)
        return self.mean, self.std

    def observe(self, alpha: float, average: str = "std") -> None:
        """Take the last training batch's moments into the exponential moving averages (Sec. 5).

        The first call after `forget` takes them whole. `average` says whether the standard
        deviations are averaged, as the paper has it, or the variances.
        """
        mean, std = self.recall("mean", "std")
        if self.mean is None or self.std is None:
            self.mean, self.std = mean, std
            return
        self.mean = (1 - alpha) * self.mean + alpha * mean
        if average == "std":
            self.std = (1 - alpha) * self.std + alpha * std
        else:
            square = (1 - alpha) * self.std * self.std + alpha * std * std
            self.std = namespace(square).sqrt(square)

    def forget(self) -> None:
        """Drop the averages, so that the next `observe` starts anew."""
        self.mean = self.std = None
