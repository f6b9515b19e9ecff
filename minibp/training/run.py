"""One run: one network, one learning rate, one batch schedule. It takes arrays, not file names."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minibp.device import Array, Device, get_device
from minibp.errors import InputError, differing
from minibp.layers import BatchNorm, Conv2D, Flatten, GlobalAvgPool, Linear
from minibp.losses import one_hot
from minibp.network import Network
from minibp.one_pass import update
from minibp.ops.contract import ResidentFeed
from minibp.optim import Optimizer
from minibp.rng import Streams
from minibp.training import metrics
from minibp.training.data import Data
from minibp.training.diagnostics import diagnose
from minibp.training.feed import Feed, Part, feeds
from minibp.training.probe import Probe
from minibp.training.recipe import Recipe
from minibp.training.replay import Replay
from minibp.training.weights import put_weights, weights_of

PARTS = {"test": "error", "holdout": "holdout_error"}  # to test on, and what a record calls it


def train_step(
    network: Network, optimizer: Optimizer, X: Array, labels: Array, gradient: str = "mean"
) -> Array:
    """Do one training step, and return the batch's mean loss as a device array."""
    N = network.forward(X, train=True)
    E, dN = network.loss(N, labels, network.ops)
    targets = None
    if network.rule is not None and network.rule.error == "targets":
        targets = one_hot(labels, N) / len(labels)
    network.backward(dN if gradient == "mean" else dN * len(labels), targets)
    update(network, optimizer, fresh=True)  # optimizer.step(), network.refresh_feedback()
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


def normalizes_vectors(network: Network) -> bool:
    """Return whether the network has BN of vectors, which cannot normalize a batch of one."""
    vectors = False
    for _, layer in network.walk():
        if isinstance(layer, Linear | Flatten | GlobalAvgPool):
            vectors = True
        elif isinstance(layer, Conv2D):
            vectors = False
        elif isinstance(layer, BatchNorm) and vectors:
            return True
    return False


class Diverged(Exception):
    """The loss or an output is no longer finite."""


def predictions(network: Network, feed: Feed) -> np.ndarray:
    """Return the class (N,) with the largest output for each sample of a feed.

    Raises Diverged if an output is not finite. The device is asked twice, whatever N is.
    """
    xp, unusable, start = network.device.xp, 0, 0
    found = xp.empty(len(feed), "int32")
    for N in outputs(network, feed):
        found[start : start + len(N)] = N.argmax(axis=1)
        unusable, start = unusable + (~xp.isfinite(N)).sum(), start + len(N)
    if int(network.device.to_host(unusable)):
        raise Diverged
    return network.device.to_host(found)


def outputs(network: Network, feed: Feed) -> Iterator[Array]:
    """Yield the outputs (B, classes) of a feed's samples in their order, in evaluation."""
    for X, _ in feed.batches(sizes(feed)):
        yield network.forward(X, train=False)


def sizes(feed: Feed) -> list[int]:
    """Return the sizes of the batches of an evaluation."""
    return [min(feed.size, len(feed) - k) for k in range(0, len(feed), feed.size)]


class Run:
    """A run in progress: `advance` trains one epoch and appends its record to `history`.

    A record has the epoch, the mean training `loss`, the test `error` and, with a held-out part,
    `holdout_error` (in percent), the `seconds` it took, and the diagnostics of each weighted layer,
    `layers`, at its end; `probes` are those within it, where settings ask for them.
    From the epoch in which a run diverges on, its errors are those of always predicting the most
    frequent training class, and it has no loss.
    """

    def __init__(self, recipe: Recipe, data: Data, device: Device | None = None):
        recipe.check(data)
        self.recipe, self.data = recipe, data
        self.device = device or get_device("cpu")
        self.network = recipe.network(self.device, data.X_train.shape[1:], data.classes)
        self._check_batches()
        self.network.fuse()
        self.optimizer = recipe.optimizer(self.network)
        self.streams = Streams(recipe.seed)
        self.augment = recipe.augment(data)
        self.feeds = self._make_feeds()
        self.replay: Replay | None = None
        train = self.feeds["train"]
        if isinstance(train, ResidentFeed):
            self.replay = Replay(self.network, self.optimizer, train, self.launch_step)
        self.probe = Probe()  # of the epoch in progress
        self.history: list[dict[str, Any]] = []
        self.diverged_epoch: int | None = None
        self.confusion: list[list[int]] | None = None  # of the best epoch, on the test set

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.diverged_epoch is not None or len(self.history) == self.recipe.epochs

    @property
    def launches(self) -> str | None:
        """How a GPU does the steps: each by one launch, or by many, and why. None on a CPU."""
        if self.device.blocking or not self.network.ops.compiled:
            return None
        if self.replay is None:
            return "many a step: the data takes too much of the GPU's memory"
        return f"many a step: {self.replay.reason}" if self.replay.reason else "one a step"

    def advance(self, on_step: Callable[[float | None], None] = lambda loss: None) -> dict:
        """Train one epoch, evaluate, and return its record.

        `on_step` is called after each step with its loss, or with None where reading it would
        wait for the device.
        """
        epoch, start = len(self.history) + 1, time.perf_counter()
        record: dict[str, Any] = {"epoch": epoch}
        # A diverging run overflows here; the checks for finite values see it and record it.
        with np.errstate(over="ignore", invalid="ignore"), self.network.ops.working():
            try:
                record["loss"] = self.train_epoch(epoch, on_step)
                record |= self.probe.record()
                self._estimate_moments(epoch)
                predicted = self._evaluate()
                layers = diagnose(self.network, *self._diagnostic_batch(epoch), self.optimizer)
            except Diverged:
                self.diverged_epoch, layers, predicted = epoch, {}, self._guesses()
                record["loss"] = None
        record |= self._errors(predicted)
        record |= {"seconds": round(time.perf_counter() - start, 3), "layers": layers}
        self.history.append(record)
        if self.is_best("error"):
            labels, found = self.data.y_test, predicted["test"]
            self.confusion = metrics.confusion(labels, found, self.data.classes)
        return record

    def is_best(self, key: str) -> bool:
        """Return whether the last epoch has a lower error than every one before.

        key  "error", or "holdout_error", which there is with a held-out part only
        """
        errors = [row[key] for row in self.history if key in row]
        return bool(errors) and errors[-1] < min(errors[:-1], default=float("inf"))

    def steps_per_epoch(self, epoch: int) -> int:
        """Return how many batches an epoch (1, 2, …) has."""
        size, n = self.recipe.batches.at(epoch), len(self.data.y_train)
        return max(1, n // size) if self.recipe.settings.last_batch == "drop" else -(-n // size)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what a checkpoint holds: arrays by name, and the rest.

        No random state is among it: every stream is a function of the seed and the step.
        """
        to_host, arrays = self.device.to_host, weights_of(self.network)
        for path, drawn in self.network.drawn.items():
            for name, array in drawn.items():
                arrays[f"feedback/{path}/{name}"] = to_host(array)
        for key, array in self.optimizer.memory.items():
            arrays[f"momentum/{key}"] = to_host(array)
        for key, state in self.optimizer.states.items():
            for name, array in state.items():
                arrays[f"update/{key}/{name}"] = to_host(array)
        if self.network.rule is not None and self.network.rule.after is not None:
            for path, V in self.network.made_V.items():
                for name, array in ({"V": V} | self.network.state[path]).items():
                    arrays[f"state/{path}/{name}"] = to_host(array)
        meta = {
            "updates": self.network.updates,
            "history": list(self.history),
            "diverged_epoch": self.diverged_epoch,
            "confusion": self.confusion,
            "read": sorted(self.network.read),
        }
        return arrays, meta

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Go on from a `state`, as if there had been no break.

        Raises InputError for the state of another network.
        """
        self._check_state(arrays)
        for place, host in arrays.items():
            kind, _, key = place.partition("/")
            if kind == "feedback":
                path, _, name = key.rpartition("/")
                self.network.drawn[path][name] = self.device.asarray(host).copy()
            elif kind == "momentum":
                self.optimizer.memory[key][...] = self.device.asarray(host)
        self.network.updates = meta["updates"]
        put_weights(self.network, arrays)  # V follows, of what was drawn
        layers = {layer.path: layer for layer in self.network.weighted}
        for place, host in arrays.items():
            if place.startswith("update/"):
                key, _, name = place.removeprefix("update/").rpartition("/")
                if place.startswith("update/first/"):
                    key, name = "first", place.removeprefix("update/first/")
                self.optimizer.states.setdefault(key, {})[name] = self.device.asarray(host).copy()
            if place.startswith("state/"):
                path, _, name = place.removeprefix("state/").rpartition("/")
                array = self.device.asarray(host).copy()
                if name == "V":
                    layers[path].V = self.network.made_V[path] = array
                else:
                    self.network.state[path][name] = array
        self.history, self.diverged_epoch = list(meta["history"]), meta["diverged_epoch"]
        self.network.read |= set(meta.get("read", []))
        self.confusion = meta.get("confusion")  # which older checkpoints have not

    def _check_state(self, arrays: dict[str, np.ndarray]) -> None:
        shapes = [
            {
                name: array.shape
                for name, array in found.items()
                if not name.startswith(
                    ("moments/", "state/", "update/")
                )  # which there are after an epoch
            }
            for found in (arrays, self.state()[0])
        ]
        changes = differing(*shapes)
        if changes:
            raise InputError(f"this is the state of another network: {'; '.join(changes[:5])}.")

    def _check_batches(self) -> None:
        """Raise InputError if an epoch has a batch that BN of vectors cannot normalize."""
        n, bn = len(self.data.y_train), normalizes_vectors(self.network)
        for epoch in range(1, self.recipe.epochs + 1):
            size, count = self.recipe.batches.at(epoch), self.steps_per_epoch(epoch)
            if bn and min(size, n - (count - 1) * size) == 1:
                raise InputError(
                    f"{n} training samples in batches of {size} leave a last one of 1, which Batch "
                    "Normalization would make 0. Choose another batch size, or leave it out with "
                    "--set last_batch=drop."
                )

    def _make_feeds(self) -> dict[str, Feed]:
        """Return where the samples of each part come from."""
        data, prepare = self.data, self.recipe.prepare(self.data)
        parts: dict[str, Part] = {
            "train": (data.X_train, data.y_train),
            "test": (data.X_test, data.y_test),
        }
        if data.X_holdout is not None and data.y_holdout is not None:
            parts["holdout"] = (data.X_holdout, data.y_holdout)
        given = (self.network.ops, self.device, parts, prepare, self.recipe.dtype)
        return feeds(*given, self.augment)

    def batches_of(
        self, stream: str, epoch: int
    ) -> tuple[list[int], np.ndarray, np.ndarray | None]:
        """Return the sizes of an epoch's batches, the order of the samples, and, if images are
        augmented, how each is moved."""
        n, size = len(self.data.y_train), self.recipe.batches.at(epoch)
        count = self.steps_per_epoch(epoch)
        sizes = [min(size, n - k * size) for k in range(count)]
        moves = None
        if self.augment is not None:
            moves = self.augment.draw(self.streams[f"augment/{stream}"].at(epoch), n)
        return sizes, self.streams[stream].at(epoch).permutation(n), moves

    def train_epoch(
        self, epoch: int, on_step: Callable[[float | None], None] = lambda loss: None
    ) -> float:
        """Do an epoch's steps, and return its mean loss; raise Diverged if it is not finite."""
        self.optimizer.rate = self.recipe.rate_at(epoch)
        batches = self.batches_of("shuffle", epoch)
        self.probe = self._probe(epoch)
        if self.replay is None:
            total = self._host_steps(*batches, on_step)
        else:
            total = self._replayed_steps(self.replay, *batches, on_step)
        mean = float(self.device.to_host(total)) / sum(batches[0])
        if not np.isfinite(mean):
            raise Diverged
        return mean

    def _host_steps(
        self, sizes: list[int], order: np.ndarray, moves: np.ndarray | None, on_step: Callable
    ) -> Array:
        """Do an epoch's steps; return the sum of all samples' losses."""
        total = 0.0
        for X, labels in self.feeds["train"].batches(sizes, order, moves):
            E = train_step(self.network, self.optimizer, X, labels, self.recipe.settings.gradient)
            total = total + E * len(labels)
            loss = float(E) if self.device.blocking else None
            if loss is not None and not np.isfinite(loss):
                raise Diverged
            on_step(loss)
            if self.probe.due():
                self.probe.take()
        return total

    def _replayed_steps(
        self,
        replay: Replay,
        sizes: list[int],
        order: np.ndarray,
        moves: np.ndarray | None,
        on_step: Callable,
    ) -> Array:
        """The same where the samples are on the device."""
        replay.feed.begin(order, moves)
        replay.begin()
        for size in sizes:
            replay.step(size)
            on_step(None)
            if self.probe.due():
                replay.end()
                self.probe.take()
                replay.begin()
        replay.end()
        return replay.feed.total.reshape(())

    def launch_step(self, size: int) -> None:
        """Have the device do all of a step on samples that it holds, from batch to loss."""
        feed = self.feeds["train"]
        assert isinstance(feed, ResidentFeed)
        X, labels = feed.next(size)
        E = train_step(self.network, self.optimizer, X, labels, self.recipe.settings.gradient)
        feed.tick(E, size)

    def _estimate_moments(self, epoch: int) -> None:
        if not self.network.batch_norms():
            return
        settings = self.recipe.settings
        sizes, *which = self.batches_of("moments", epoch)

        def batches() -> Iterator[Array]:
            left = settings.bn_batches
            while left > 0:  # cycling where the training set has fewer batches
                for X, _ in self.feeds["train"].batches(sizes[:left], *which):
                    yield X
                left -= len(sizes[:left])

        estimate_moments(self.network, batches(), settings.bn_alpha, settings.bn_average)

    def _probe(self, epoch: int) -> Probe:
        """Return what takes diagnostics within an epoch, always of its first batch."""
        settings = self.recipe.settings
        every = settings.diagnose_every if epoch <= settings.diagnose_epochs else 0
        if not every:
            return Probe()
        X, labels = (array.copy() for array in self._diagnostic_batch(epoch))
        look = partial(diagnose, self.network, X, labels, self.optimizer)
        return Probe(every, epoch, self.steps_per_epoch(epoch), look)

    def _diagnostic_batch(self, epoch: int) -> tuple[Array, Array]:
        sizes, *which = self.batches_of("shuffle", epoch)
        (batch,) = self.feeds["train"].batches(sizes[:1], *which)
        return batch

    def _evaluate(self) -> dict[str, np.ndarray]:
        """Return the predicted classes (N,) of each part to test on.

        Raises Diverged if an output is not finite.
        """
        parts = {part: self.feeds[part] for part in PARTS if part in self.feeds}
        return {part: predictions(self.network, feed) for part, feed in parts.items()}

    def _guesses(self) -> dict[str, np.ndarray]:
        """Return the predictions of a run that diverged: always the most frequent class."""
        guess = np.bincount(self.data.y_train).argmax()  # of equally frequent ones the lowest
        return {
            part: np.full(len(y), guess) for part in PARTS if (y := self._labels(part)) is not None
        }

    def _errors(self, predicted: dict[str, np.ndarray]) -> dict[str, float]:
        """Return the error rates of predictions, in percent."""
        wrong = {part: found != self._labels(part) for part, found in predicted.items()}
        return {PARTS[part]: 100 * int(each.sum()) / len(each) for part, each in wrong.items()}

    def _labels(self, part: str) -> np.ndarray:
        return getattr(self.data, f"y_{part}")
