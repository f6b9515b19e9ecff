"""One run: one network, one learning rate, one batch schedule. It takes arrays, not file names."""

import contextvars
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minibp import metrics, preprocess
from minibp.conditions import Condition
from minibp.data import Data
from minibp.device import Array, Device, get_device
from minibp.errors import InputError
from minibp.losses import softmax_cross_entropy
from minibp.models import build_network, input_shape
from minibp.network import Network
from minibp.ops.tiers import working
from minibp.optim import Optimizer, build_optimizer
from minibp.rng import Streams
from minibp.schedule import BatchSchedule, rate_at, rate_drops
from minibp.settings import Settings
from minibp.update import update


def step(
    network: Network, optimizer: Optimizer, X: Array, labels: Array, gradient: str = "mean"
) -> Array:
    """Do one training step, and return the batch's mean loss as a device array."""
    N = network.forward(X, train=True)
    E, dN = softmax_cross_entropy(N, labels, network.ops)
    network.backward(dN if gradient == "mean" else dN * len(labels))
    update(network, optimizer)  # optimizer.step(), then network.refresh_feedback()
    return E


def estimate_moments(
    network: Network, batches: Iterator[Array], alpha: float = 0.05, average: str = "std"
) -> None:
    """Set BN's moments for evaluation: moving averages over training batches (Sec. 5).

    The weights stay fixed meanwhile; the averages start anew, from the first batch's values.
    """
    for layer in network.batch_norms():
        layer.forget()
    for X in batches:
        network.forward(X, train=True)
        for layer in network.batch_norms():
            layer.observe(alpha, average)


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


@dataclass(frozen=True)
class Plan:
    """Everything but the data that decides a run's numbers."""

    network: str
    condition: Condition
    rate: float  # base rate × factor, before any drop
    batch_schedule: BatchSchedule = field(default_factory=lambda: BatchSchedule(100))
    epochs: int = 65
    drops: Sequence[int] | None = None  # epochs after which the rate drops; None: the paper's
    seed: int = 0
    dtype: str = "float32"
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs {self.epochs}: expected 1 or more.")
        if self.drops is None:
            object.__setattr__(self, "drops", rate_drops(self.epochs))


class Diverged(Exception):
    """The loss or an output is no longer finite."""


class Run:
    """A run in progress: `advance` trains one epoch and appends its record to `history`.

    A record has the epoch, the mean training `loss`, the test `error` and, with a held-out part,
    `holdout_error` (in percent), the `seconds` it took, and the diagnostics of each weighted layer.
    From the epoch in which a run diverges on, its errors are those of always predicting the most
    frequent training class, and it has no loss.
    """

    def __init__(self, plan: Plan, data: Data, device: Device | None = None):
        data.check_fits(plan.network, input_shape(plan.network))
        self.plan, self.data = plan, data
        self.device = device or get_device("cpu")
        settings = plan.settings
        self.network = build_network(
            plan.network, data.classes, plan.condition, self.device, plan.seed, plan.dtype, settings
        )
        self.network.fuse()
        self.optimizer = build_optimizer(
            self.network,
            plan.condition,
            plan.rate,
            settings.momentum,
            settings.weight_decay,
            settings,
        )
        self.streams = Streams(plan.seed)
        self.prepare = preprocess.fit(settings.preprocess, data.X_train, plan.network, plan.dtype)
        self.history: list[dict[str, Any]] = []
        self.diverged_epoch: int | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.diverged_epoch is not None or len(self.history) == self.plan.epochs

    def advance(self, on_step: Callable[[float | None], None] = lambda loss: None) -> dict:
        """Train one epoch, evaluate, and return its record.

        `on_step` is called after each step with its loss, or with None where reading it would
        wait for the device.
        """
        epoch, start = len(self.history) + 1, time.perf_counter()
        record: dict[str, Any] = {"epoch": epoch}
        # A diverging run overflows here; the checks for finite values see it and record it.
        with np.errstate(over="ignore", invalid="ignore"), working(self.network.ops):
            try:
                record["loss"] = self._train_epoch(epoch, on_step)
                self._estimate_moments(epoch)
                record |= self._evaluate()
                layers = metrics.diagnose(self.network, *self._diagnostic_batch(epoch))
            except Diverged:
                self.diverged_epoch, layers = epoch, {}
                record |= {"loss": None} | self._constant_errors()
        record |= {"seconds": round(time.perf_counter() - start, 3), "layers": layers}
        self.history.append(record)
        return record

    def steps_per_epoch(self, epoch: int) -> int:
        """Return how many batches an epoch (1, 2, …) has."""
        size, n = self.plan.batch_schedule.at(epoch), len(self.data.y_train)
        return max(1, n // size) if self.plan.settings.last_batch == "drop" else -(-n // size)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what a checkpoint holds: arrays by name, and the rest.

        No random state is among it: every stream is a function of the seed and the step.
        """
        to_host, arrays = self.device.to_host, {}
        for layer in self.network.layers:
            for name, array in layer.params.items():
                arrays[f"parameters/{layer.name}/{name}"] = to_host(array)
        for layer in self.network.batch_norms():
            if layer.mean is not None:
                arrays[f"moments/{layer.name}/mean"] = to_host(layer.mean)
                arrays[f"moments/{layer.name}/std"] = to_host(layer.std)
        for layer_name, drawn in self.network.drawn.items():
            for name, array in drawn.items():
                arrays[f"feedback/{layer_name}/{name}"] = to_host(array)
        for key, array in self.optimizer.memory.items():
            arrays[f"momentum/{key}"] = to_host(array)
        meta = {
            "updates": self.network.updates,
            "history": self.history,
            "diverged_epoch": self.diverged_epoch,
        }
        return arrays, meta

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Go on from a `state`, as if there had been no break."""
        layers = {layer.name: layer for layer in self.network.layers}
        for path, host in arrays.items():
            kind, layer_name, name = path.split("/")
            array, layer = self.device.asarray(host), layers[layer_name]
            if kind == "parameters":
                layer.params[name][...] = array
            elif kind == "moments":
                setattr(layer, name, array)
            elif kind == "feedback":
                self.network.drawn[layer_name][name] = array.copy()
            elif kind == "momentum":
                self.optimizer.memory[f"{layer_name}/{name}"][...] = array
        self.network.updates = meta["updates"]
        self.network.apply_rule()
        self.history, self.diverged_epoch = list(meta["history"]), meta["diverged_epoch"]

    def _on_device(self, batches: Iterator) -> Iterator[tuple[Array, Array]]:
        for X, y in ahead(batches):
            yield self.device.asarray(X), self.device.asarray(y)

    def _train_batches(self, stream: str, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = self.streams[stream].at(epoch).permutation(len(self.data.y_train))
        size = self.plan.batch_schedule.at(epoch)
        for k in range(self.steps_per_epoch(epoch)):
            rows = order[k * size : (k + 1) * size]
            yield self.prepare(self.data.X_train[rows]), self.data.y_train[rows]

    def _test_batches(self, X: np.ndarray, y: np.ndarray, size: int) -> Iterator:
        for k in range(0, len(y), size):
            yield self.prepare(X[k : k + size]), y[k : k + size]

    def _train_epoch(self, epoch: int, on_step: Callable) -> float:
        self.optimizer.rate = rate_at(epoch, self.plan.rate, self.plan.drops)
        total, seen = 0.0, 0
        for X, labels in self._on_device(self._train_batches("shuffle", epoch)):
            E = step(self.network, self.optimizer, X, labels, self.plan.settings.gradient)
            total, seen = total + E * len(labels), seen + len(labels)
            loss = float(E) if self.device.blocking else None
            if loss is not None and not np.isfinite(loss):
                raise Diverged
            on_step(loss)
        mean = float(self.device.to_host(total)) / seen
        if not np.isfinite(mean):
            raise Diverged
        return mean

    def _estimate_moments(self, epoch: int) -> None:
        if not self.network.batch_norms():
            return
        settings = self.plan.settings

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            left = settings.bn_batches
            while True:  # cycling where the training set has fewer batches
                for batch in self._train_batches("moments", epoch):
                    yield batch
                    left -= 1
                    if left == 0:
                        return

        inputs = (X for X, _ in self._on_device(batches()))
        estimate_moments(self.network, inputs, settings.bn_alpha, settings.bn_average)

    def _diagnostic_batch(self, epoch: int) -> tuple[Array, Array]:
        X, y = next(self._train_batches("shuffle", epoch))
        return self.device.asarray(X), self.device.asarray(y)

    def _evaluate(self) -> dict[str, float]:
        errors = {"error": self._error(self.data.X_test, self.data.y_test)}
        if self.data.X_holdout is not None:
            errors["holdout_error"] = self._error(self.data.X_holdout, self.data.y_holdout)
        return errors

    def _error(self, X: np.ndarray, y: np.ndarray, size: int = 100) -> float:
        """Return the error rate in percent; raise Diverged if an output is not finite."""
        wrong, unusable = 0, 0
        for inputs, labels in self._on_device(self._test_batches(X, y, size)):
            N = self.network.forward(inputs, train=False)
            wrong = wrong + metrics.count_wrong(N, labels)
            unusable = unusable + (~self.device.xp.isfinite(N)).sum()
        if int(self.device.to_host(unusable)):
            raise Diverged
        return 100 * int(self.device.to_host(wrong)) / len(y)

    def _constant_errors(self) -> dict[str, float]:
        guess = np.bincount(self.data.y_train).argmax()  # of equally frequent ones the lowest

        def error(y: np.ndarray) -> float:
            return 100 * int((y != guess).sum()) / len(y)

        errors = {"error": error(self.data.y_test)}
        if self.data.y_holdout is not None:
            errors["holdout_error"] = error(self.data.y_holdout)
        return errors
