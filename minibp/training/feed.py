"""Where a run's batches come from: the host, or a data set in a GPU's memory."""

import contextvars
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from minibp.device import Array, Device
from minibp.ops.cuda.compiled import CudaOps, DeviceScalar
from minibp.training.preprocess import CHUNK, Affine, Preprocess

Batches = Iterator[tuple[Array, Array]]  # inputs (B, …) and labels (B,), on the device
SHARE = 0.5  # of a GPU's free memory, that a run's data may take


class HostFeed:
    """Samples that stay on the host: each batch is prepared there, while the one before is in use,
    and goes to the device."""

    size = 100  # of a batch, where it makes no difference

    def __init__(self, device: Device, X: np.ndarray, y: np.ndarray, prepare: Preprocess):
        self.device, self.X, self.y, self.prepare = device, X, y, prepare

    def __len__(self) -> int:
        return len(self.y)

    def batches(self, sizes: Sequence[int], order: np.ndarray | None = None) -> Batches:
        """Yield batches of these sizes, of the samples in the order given, or as they come."""
        for X, y in ahead(self._on_host(sizes, order)):
            yield self.device.asarray(X), self.device.asarray(y)

    def _on_host(self, sizes: Sequence[int], order: np.ndarray | None) -> Iterator:
        start = 0
        for size in sizes:
            rows = slice(start, start + size)
            rows = rows if order is None else order[rows]
            yield self.prepare(self.X[rows]), self.y[rows]
            start += size


class ResidentFeed:
    """Samples in a GPU's memory, bytes as bytes: a kernel makes each batch.

    What is whitened is kept whitened. `next` takes the samples at `start`, a number in the device's
    memory, of the order given to `begin`; `total` is there to sum up an epoch's loss.
    """

    size = 500

    def __init__(self, ops: CudaOps, X: np.ndarray, y: np.ndarray, prepare: Preprocess, dtype: str):
        device, xp = ops.device, ops.xp
        self.ops, shape = ops, X.shape[1:]
        self.labels = device.asarray(y, "int32")
        if isinstance(prepare, Affine):
            self.data = device.asarray(X, None if X.dtype == np.uint8 else dtype)
            centre, scale = prepare.centre, prepare.scale
        else:
            self.data, prepare = xp.empty(X.shape, dtype), prepare.on(device)
            for a in range(0, len(X), CHUNK):
                self.data[a : a + CHUNK] = prepare(device.asarray(X[a : a + CHUNK]))
            centre = scale = None
        self.affine = (
            device.asarray(np.zeros(shape) if centre is None else centre, dtype),
            device.asarray(np.ones(shape) if scale is None else scale, dtype),
        )
        self.order = device.asarray(np.arange(len(X)), "int32")
        self.start, self.total = DeviceScalar(device, "int32"), xp.zeros(1, dtype)

    def __len__(self) -> int:
        return len(self.labels)

    def begin(self, order: np.ndarray | None) -> None:
        """Start anew, with the samples in this order."""
        order = np.arange(len(self)) if order is None else order
        self.order[...] = self.ops.device.asarray(order, "int32")
        self.start.set(0)
        self.total.fill(0)

    def next(self, size: int) -> tuple[Array, Array]:
        """Return the batch at `start`."""
        return self.ops.gather(self.data, self.labels, self.order, self.start, self.affine, size)

    def batches(self, sizes: Sequence[int], order: np.ndarray | None = None) -> Batches:
        """Yield batches of these sizes, of the samples in the order given, or as they come."""
        self.begin(order)
        place = 0
        for size in sizes:
            self.start.set(place)
            yield self.next(size)
            place += size


Feed = HostFeed | ResidentFeed


def bytes_on_device(X: np.ndarray, prepare: Preprocess, dtype: str) -> int:
    """Return how much memory a ResidentFeed of these samples takes."""
    raw = isinstance(prepare, Affine) and X.dtype == np.uint8
    return X.size * (1 if raw else np.dtype(dtype).itemsize)


def ahead(batches: Iterator) -> Iterator:
    """Yield the same batches, each made in a thread while the one before is in use.

    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    end = object()
    with ThreadPoolExecutor(1) as thread:
        context = contextvars.copy_context()  # numpy.errstate goes along
        coming = thread.submit(context.run, next, batches, end)
        while (batch := coming.result()) is not end:
            coming = thread.submit(context.run, next, batches, end)
            yield batch
