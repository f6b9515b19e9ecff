"""Where a run's batches come from: the host, or a data set in a GPU's memory."""

import contextvars
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from minibp.device import Array, Device
from minibp.ops.contract import Ops, ResidentFeed
from minibp.training.augment import Augment
from minibp.training.preprocess import CHUNK, Affine, Preprocess

Batches = Iterator[tuple[Array, Array]]  # inputs (B, …) and labels (B,), on the device
SHARE = 0.5  # of a GPU's free memory, that a run's data may take


class HostFeed:
    """Samples that stay on the host: each batch is prepared there, while the one before is in use,
    and goes to the device. `augment` says what `moves` mean."""

    size = 100  # of a batch, where it makes no difference

    def __init__(
        self,
        device: Device,
        X: np.ndarray,
        y: np.ndarray,
        prepare: Preprocess,
        augment: Augment | None = None,
    ):
        self.device, self.X, self.y, self.prepare = device, X, y, prepare
        self.augment = augment

    def __len__(self) -> int:
        return len(self.y)

    def batches(
        self,
        sizes: Sequence[int],
        order: np.ndarray | None = None,
        moves: np.ndarray | None = None,
    ) -> Batches:
        """Yield batches of these sizes, of the samples in the order given, or as they come, each
        moved by its row of `moves` (see Augment), if there are any."""
        for X, y in ahead(self._on_host(sizes, order, moves)):
            yield self.device.asarray(X), self.device.asarray(y)

    def _on_host(
        self, sizes: Sequence[int], order: np.ndarray | None, moves: np.ndarray | None
    ) -> Iterator:
        start = 0
        for size in sizes:
            part = slice(start, start + size)
            rows = part if order is None else order[part]
            X = self.X[rows]
            if moves is not None and self.augment is not None:
                X = self.augment(X, moves[part])
            yield self.prepare(X), self.y[rows]
            start += size


Feed = HostFeed | ResidentFeed
Part = tuple[np.ndarray, np.ndarray]  # samples and labels


def feeds(
    ops: Ops,
    device: Device,
    parts: dict[str, Part],
    prepare: Preprocess,
    dtype: str,
    augment: Augment | None = None,
) -> dict[str, Feed]:
    """Return a feed of each part, in the device's memory where all of them fit.

    Images to be moved before they are whitened stay on the host.
    """
    needed = sum(bytes_on_device(X, prepare, dtype) for X, _ in parts.values())
    fit = needed <= SHARE * device.free_memory()
    if ops.resident and fit and (augment is None or isinstance(prepare, Affine)):
        return {
            name: resident(ops, device, X, y, prepare, dtype, augment)
            for name, (X, y) in parts.items()
        }
    return {name: HostFeed(device, X, y, prepare, augment) for name, (X, y) in parts.items()}


def resident(
    ops: Ops,
    device: Device,
    X: np.ndarray,
    y: np.ndarray,
    prepare: Preprocess,
    dtype: str,
    augment: Augment | None = None,
) -> ResidentFeed:
    """Return a feed of samples in the device's memory: bytes as bytes, but what is whitened is
    kept whitened."""
    shape, labels = X.shape[1:], device.asarray(y, "int32")
    centre: np.ndarray | None = None
    scale: np.ndarray | None = None
    if isinstance(prepare, Affine):
        data = device.asarray(X, None if X.dtype == np.uint8 else dtype)
        centre, scale = prepare.centre, prepare.scale
    else:
        data, prepare = device.xp.empty(X.shape, dtype), prepare.on(device)
        for a in range(0, len(X), CHUNK):
            data[a : a + CHUNK] = prepare(device.asarray(X[a : a + CHUNK]))
    return ops.feed(
        data,
        labels,
        device.asarray(np.zeros(shape) if centre is None else centre, dtype),
        device.asarray(np.ones(shape) if scale is None else scale, dtype),
        0 if augment is None else augment.padding,
    )


def bytes_on_device(X: np.ndarray, prepare: Preprocess, dtype: str) -> int:
    """Return how much memory a resident feed of these samples takes."""
    raw = isinstance(prepare, Affine) and X.dtype == np.uint8
    return X.size * (1 if raw else np.dtype(dtype).itemsize)


def ahead(batches: Iterator) -> Iterator:
    """Yield the same batches, each made in a thread while the one before is in use.

    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    end: Any = object()

    def take() -> Any:
        return next(batches, end)

    with ThreadPoolExecutor(1) as thread:
        context = contextvars.copy_context()  # numpy.errstate goes along
        coming = thread.submit(context.run, take)
        while (batch := coming.result()) is not end:
            coming = thread.submit(context.run, take)
            yield batch
