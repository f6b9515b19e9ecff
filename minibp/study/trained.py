"""A trained network, from a run's folder alone: `load`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from minibp.device import Device, get_device
from minibp.errors import DamagedFileError, InputError, differing, unknown
from minibp.experiments import results
from minibp.experiments.folder import RECORD
from minibp.experiments.identity import differences
from minibp.experiments.kept import DECIDES, PREPARATION, WEIGHTS, read_preparation
from minibp.files import read_json
from minibp.network import Network
from minibp.study.networks import input_shape
from minibp.study.recipe import PaperRecipe, recipe_of
from minibp.training import checkpoint
from minibp.training.data import check_inputs, pixels_like
from minibp.training.feed import Feed, feeds
from minibp.training.preprocess import Preprocess
from minibp.training.recipe import Recipe
from minibp.training.run import outputs, sizes
from minibp.training.weights import put_weights


@dataclass
class Trained:
    """A trained network, with all that it takes to use it.

    network      for evaluation, fused
    prepare      turns samples (B, …) into the network's inputs
    class_names  one for each output
    record       of the experiment: its data, condition and settings
    rate         of the run: its learning rate, and its history by epoch
    epoch        whose weights these are
    shape        of one sample
    """

    network: Network
    prepare: Preprocess
    class_names: tuple[str, ...]
    record: dict[str, Any]
    rate: dict[str, Any]
    epoch: int
    shape: tuple[int, ...]

    def outputs(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs N (B, classes) for samples X (B, H, W, C) or (B, I).

        X is as `Data` has it: images are of pixels from 0 to 255, or, where the run was given
        fractions from 0 to 1, of such fractions. Raises InputError for samples that do not fit.
        """
        feed, device = self._feed(X), self.network.device
        with device.working(), self.network.ops.working():
            return np.concatenate([device.to_host(N) for N in outputs(self.network, feed)])

    def blocks(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs (B, …) of each block for samples X, by the name of its first layer.

        A block is a layer at the network's top that is or holds a weighted one, with all that
        follows it up to the next: its Batch Normalization, ReLU and pooling. X, and what is raised,
        are as for `outputs`.
        """
        feed, network = self._feed(X), self.network
        weighted = {layer.path.split("/")[0] for layer in network.weighted}
        found: dict[str, list[np.ndarray]] = {}
        with network.device.working(), network.ops.working(), network.unfused():
            for A, _ in feed.batches(sizes(feed)):
                name, ends = "", {}
                for layer in network.layers:
                    name = layer.name if layer.name in weighted else name
                    ends[name] = A = layer.forward(A, train=False)
                for name, A in ends.items():
                    found.setdefault(name, []).append(network.device.to_host(A).copy())
        return {name: np.concatenate(parts) for name, parts in found.items() if name}

    def _feed(self, X: np.ndarray) -> Feed:
        X = np.asarray(X)
        check_inputs("X", X)
        if X.shape[1:] != self.shape:
            expected = ", ".join(["B", *map(str, self.shape)])
            raise InputError(f"X has shape {X.shape}: expected ({expected}), as the run's data.")
        part = pixels_like(self.record["data"]["note"], X), np.zeros(len(X), np.int64)
        ops, device = self.network.ops, self.network.device
        with device.working(), ops.working():
            dtype = self.record["settings"]["dtype"]
            return feeds(ops, device, {"test": part}, self.prepare, dtype)["test"]

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Return the probability (B, classes) of each class for samples X: see `likelihoods`."""
        return self.likelihoods(self.outputs(X))

    def likelihoods(self, N: np.ndarray) -> np.ndarray:
        """Return the probabilities (B, classes) that the run's loss makes of outputs N, float64:
        softmax, or σ of each, where a row's sum need not be 1."""
        if self.record["settings"].get("loss") == "sigmoid":
            return expit(N.astype(np.float64))
        return softmax(N)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the number (B,) of the likeliest class for samples X."""
        return self.outputs(X).argmax(axis=1)


def softmax(N: np.ndarray) -> np.ndarray:
    """Return exp(N) / Σ exp(N) of each row, float64.

    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    E = np.exp(N.astype(np.float64) - N.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)


def load(
    run_folder: Path | str,
    weights: str = "best",
    device: Device | None = None,
    recipe: Recipe | None = None,
) -> Trained:
    """Return the trained network of a run, without its data set.

    run_folder  an experiment's folder, of which the best run is taken, or a run's own (rate-1)
    weights     "best": of the epoch with the least test error; "honest": with the least error on
                the held-out part; "last": of the last epoch
    device      to compute on; None: the CPU
    recipe      what was run, if it was a recipe of one's own

    Raises InputError where there is no such run, or its weights were not kept.
    """
    if weights not in WEIGHTS:
        raise unknown("weights", weights, WEIGHTS)
    record, rate, place = _found(Path(run_folder), weights)
    arrays, epoch = _weights(place, rate, weights)
    try:
        prepare = read_preparation(place.parent)
    except FileNotFoundError as error:
        if "network" not in record["settings"]:
            raise InputError(
                f"{place.parent} has no {PREPARATION}: its recipe prepares samples by code of its "
                "own, and only what minibp.training.preprocess makes is kept."
            ) from error
        raise InputError(
            f"{place.parent} has no {PREPARATION}, which says how samples are prepared. train.py "
            "with --resume and the same --out writes it; of a sweep, run it again with "
            "--keep-weights, into a new folder."
        ) from error
    except DamagedFileError as error:
        raise DamagedFileError(
            f"{error} train.py with --resume and the same --out writes it anew."
        ) from error
    device, data = device or get_device("cpu"), record["data"]
    if recipe is not None:
        _check_recipe(record, recipe)
    recipe = recipe or _on(device, recipe_of(record))
    # Older records have no shape; theirs is that of a network of Table 1.
    shape = tuple(data.get("shape") or input_shape(record["settings"]["network"]))
    network = recipe.network(device, shape, data["classes"])
    network.fuse()
    put_weights(network, arrays)
    names = data["class_names"] or map(str, range(data["classes"]))
    return Trained(network, prepare, tuple(names), record, rate, epoch, shape)


def _on(device: Device, recipe: PaperRecipe) -> PaperRecipe:
    """Return the recipe for a device: where there is no TF32, float32 takes its place."""
    if recipe.settings.matmul == "float32" or (device.compiles and device.kernels != "plain"):
        return recipe
    return dataclasses.replace(recipe, settings=recipe.settings.replace(matmul="float32"))


def _check_recipe(record: dict[str, Any], recipe: Recipe) -> None:
    """Raise InputError unless a recipe is the one of a record."""
    now = recipe.identity()
    settings = {name: record["settings"].get(name) for name in now["settings"]}
    same = {name: record[name] for name in ("dataset", "data_sha256")}
    changes = differences(record | {"settings": settings}, now | same, recipe.defaults())
    if changes:
        raise InputError(f"this is not the recipe of the run: {'; '.join(changes)}.")


def _found(folder: Path, weights: str) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """Return an experiment's record, that of the run to take, and the run's folder."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: expected one that train.py has made.")
    found = _record(folder)
    if results.is_run(found):
        _check_decided(folder, found, weights)
        place = folder.resolve()
        return _record(place.parent), found, place
    if not results.is_experiment(found):
        raise InputError(f"{folder / RECORD} is no record of an experiment, or of a run.")
    rate = results.best_rate(found, DECIDES.get(weights, "error"))
    if rate is None and not found["rates"]:
        raise InputError(f"{folder} has no finished run: go on with --resume.")
    _check_decided(folder, rate or {"history": []}, weights)
    for path in sorted(folder.glob(f"*/{RECORD}")):
        own = read_json(path)
        if all(own.get(key) == rate[key] for key in ("factor", "batch_schedule")):
            return found, rate, path.parent
    raise InputError(f"{folder} has no folder of its run with rate factor {rate['factor']:g}.")


def _check_decided(folder: Path, rate: dict[str, Any], weights: str) -> None:
    """Raise InputError if a run has no errors to choose the epoch by."""
    key = DECIDES.get(weights)
    if key is not None and not any(key in row for row in rate["history"]):
        raise InputError(f"{folder} was run without --holdout: it has no {weights} weights.")


def _record(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / RECORD)
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} has no {RECORD}: expected an experiment's folder, or that of a finished run "
            "in it."
        ) from error


def _weights(place: Path, rate: dict[str, Any], weights: str) -> tuple[dict[str, np.ndarray], int]:
    """Return the weights in a run's folder, and the epoch that they are of."""
    history, key, path = rate["history"], DECIDES.get(weights), place / WEIGHTS[weights]
    chosen = history[-1] if key is None else min(history, key=lambda row: row[key])
    epoch = chosen["epoch"]
    if epoch == rate["diverged_epoch"]:
        raise InputError(
            f"the run in {place} diverged in epoch {epoch}, of which its {weights} error is: there "
            "are no weights to use."
        )
    if not path.exists():
        other = ", or take those of the last epoch, as weights 'last'"
        last = (place / WEIGHTS["last"]).exists() and weights != "last"
        raise InputError(
            f"{place} has no {path.name}: its weights were not kept, as in a sweep without "
            "--keep-weights, or by an earlier version. Run it again, into a new folder"
            + (f"{other}." if last else ".")
        )
    arrays, meta = checkpoint.load(path)
    changes = differing(rate.get("owner", {}), meta.get("owner", rate.get("owner", {})))
    if meta.get("epoch", epoch) != epoch:
        changes.append(f"the best epoch was {meta['epoch']}, now {epoch}")
    if changes:
        raise InputError(f"{path} is another run's: {'; '.join(changes)}. Run it again.")
    return arrays, epoch
