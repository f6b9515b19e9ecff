"""A data set in a GPU's memory, of which a kernel makes each batch."""

from collections.abc import Iterator, Sequence

import numpy as np

from minibp.device import Array
from minibp.ops.contract import ResidentFeed
from minibp.ops.cuda.arithmetic import CudaArithmetic, DeviceScalar


class CudaFeed(ResidentFeed):
    """The samples `data` (n, …), bytes as bytes, their labels (n,), and the order of an epoch.

    `start` is the place in the order of the next batch. Where images are moved, `moves` has how,
    in the epoch's order.
    """

    def __init__(
        self,
        ops: CudaArithmetic,
        data: Array,
        labels: Array,
        centre: Array,
        scale: Array,
        padding: int,
    ):
        self.ops, self.data, self.labels, self.affine = ops, data, labels, (centre, scale)
        self.order = ops.device.asarray(np.arange(len(labels)), "int32")
        self.moves = ops.xp.zeros((len(labels), 3), "int32")
        self.moved, self.padding = False, padding
        self.start = DeviceScalar(ops.device, "int32")
        self.total = ops.xp.zeros(1, centre.dtype)

    def __len__(self) -> int:
        return len(self.labels)

    def begin(self, order: np.ndarray | None, moves: np.ndarray | None = None) -> None:
        order = np.arange(len(self)) if order is None else order
        self.order[...] = self.ops.device.asarray(order, "int32")
        self.moved = moves is not None
        if moves is not None:
            self.moves[...] = self.ops.device.asarray(moves, "int32")
        self.start.set(0)
        self.total.fill(0)

    def next(self, size: int) -> tuple[Array, Array]:
        ops, (centre, scale) = self.ops, self.affine
        X = ops.xp.empty((size, *self.data.shape[1:]), centre.dtype)
        y = ops.xp.empty(size, "int32")
        kernel = "gather_bytes" if str(self.data.dtype) == "uint8" else "gather_reals"
        arrays = (self.data, self.labels, self.order, self.start.array, centre, scale, X, y)
        sizes: tuple[int, ...] = (size, X.size // size)
        if self.moved:
            kernel, arrays = f"{kernel}_moved", (*arrays, self.moves)
            sizes = (size, *self.data.shape[1:], self.padding)
        ops.launch(kernel, X.dtype, X.size, *arrays, *sizes)
        return X, y

    def tick(self, E: Array, size: int) -> None:
        places = (self.start.array, self.ops.step.array)
        self.ops.launch("tick", self.total.dtype, 1, self.total, E, size, *places)

    def count(self, size: int) -> None:
        self.start.value += size
        self.ops.step.value += 1

    def tell(self, rate: float, step: int) -> None:
        self.ops.rate.set(rate)
        self.ops.step.set(step)

    @property
    def told(self) -> tuple[float, int]:
        return self.ops.rate.value, self.ops.step.value

    def batches(
        self,
        sizes: Sequence[int],
        order: np.ndarray | None = None,
        moves: np.ndarray | None = None,
    ) -> Iterator[tuple[Array, Array]]:
        self.begin(order, moves)
        place = 0
        for size in sizes:
            self.start.set(place)
            yield self.next(size)
            place += size
