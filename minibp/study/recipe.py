"""The paper's runs as recipes: a condition, a network of Table 1 or a user's, and the settings."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minibp import usercode
from minibp.checks import whole
from minibp.device import Device
from minibp.errors import InputError, printable
from minibp.experiments.experiment import Experiment
from minibp.layers import Layer, WeightedLayer
from minibp.network import Network
from minibp.optim import Optimizer, Slot
from minibp.study.conditions import Condition
from minibp.study.networks import NETWORKS, build_network, get_network
from minibp.study.protocol import (
    BASE_RATE,
    BATCH_SIZE,
    EPOCHS,
    FACTORS,
    batch_schedules,
    rate_drops,
)
from minibp.study.settings import FIXED, Settings
from minibp.training import preprocess
from minibp.training.data import Data
from minibp.training.recipe import Recipe
from minibp.training.schedule import BatchSchedule

AUTO = {"cifar": "gcn+zca", "timit": "standardize"}  # preprocess, by network; else mean


@dataclass(frozen=True, kw_only=True)
class PaperRecipe(Recipe):
    """A condition's run, by the protocol of Sec. 5.

    model      "mnist", "cifar", "svhn", "image119", "timit", one of the field's, such as
               "resnet-20", or a user's "my_net.py:small"
    condition  a column of Tables 2–5, or a new one
    drops      None: the paper's, in proportion to the epochs, or none with a cosine schedule
    """

    model: str
    condition: Condition
    epochs: int = EPOCHS
    drops: Sequence[int] | None = None
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Settings):
            raise InputError(f"settings {self.settings!r}: expected a Settings object.")
        if self.drops is None:
            cosine = self.settings.schedule == "cosine"
            drops = () if cosine else rate_drops(whole("epochs", self.epochs, 1))
            object.__setattr__(self, "drops", drops)
        super().__post_init__()
        get_network(self.model)

    def network(self, device: Device, shape: tuple[int, ...], classes: int) -> Network:
        given = (self.model, classes, self.condition, device)
        return build_network(*given, self.seed, self.dtype, self.settings, shape)

    def optimizer(self, network: Network) -> Optimizer:
        return build_optimizer(network, self.condition, self.rate, self.settings)

    @property
    def name(self) -> str:
        return str(self.condition)

    @property
    def files(self) -> dict[str, str]:
        place = usercode.split(self.model)
        own = {} if place is None else {place[0]: usercode.load(place[0]).sha256}
        return self.condition.files | own

    def prepare(self, data: Data) -> preprocess.Preprocess:
        kind = self.settings.preprocess
        if kind == "auto":
            known = self.model if self.model in NETWORKS else data.network
            kind = AUTO.get(known or "", "mean")
        return preprocess.fit(kind, data.X_train, self.dtype)

    def check(self, data: Data) -> None:
        if self.model in NETWORKS:
            data.check_fits(self.model, NETWORKS[self.model][1])

    def schedules(self) -> list[BatchSchedule]:
        return batch_schedules(self.condition, self.batches.size)

    def identity(self) -> dict[str, Any]:
        common = super().identity()
        own = {"network": common["settings"].pop("model")}
        del common["settings"]["condition"]  # it is the name
        return common | {"settings": own | common["settings"] | FIXED}

    def defaults(self) -> dict[str, Any]:
        return super().defaults() | FIXED


def paper_experiment(
    dataset: str,
    network: str,
    condition: Condition,
    seed: int = 0,
    epochs: int = EPOCHS,
    batch_size: int = BATCH_SIZE,
    base_rate: float = BASE_RATE,
    rate_factors: Sequence[float] = FACTORS,
    rate_drops: Sequence[int] | None = None,
    dtype: str = "float32",
    train_limit: int | None = None,
    holdout: float | None = None,
    settings: Settings | None = None,
) -> Experiment:
    """Return a condition's experiment on a data set; the defaults are the paper's protocol.

    Raises InputError for numbers that these cannot be.
    """
    recipe = PaperRecipe(
        rate=base_rate,
        epochs=epochs,
        batches=BatchSchedule(batch_size),
        drops=rate_drops,
        seed=seed,
        dtype=dtype,
        settings=Settings() if settings is None else settings,
        model=network,
        condition=condition,
    )
    return Experiment(dataset, recipe, rate_factors, train_limit, holdout)


def recipe_of(record: dict[str, Any]) -> PaperRecipe:
    """Return the recipe of an experiment's record, at rate factor 1.

    Settings that this version does not know are left out. A user's files must be there, under the
    paths in the record, with the text that the run had.

    Raises InputError for such a file that is missing or was edited, and for a record of another
    kind of recipe.
    """
    found, words = record["settings"], record.get("files", {})
    if "network" not in found:
        raise InputError(
            f"{record['condition']} is no condition on a named network: give the recipe that it is."
        )
    for path in words:
        if not Path(path).exists():
            raise InputError(
                f"the run's file {path} is not here: its path is seen from the folder where the "
                "run was started. Go there, or put the file in that place."
            )
    known = {entry.name for entry in dataclasses.fields(Settings)}
    recipe = PaperRecipe(
        rate=found["base_rate"],
        epochs=found["epochs"],
        batches=BatchSchedule.parse(str(found["batch_size"])),
        drops=found["rate_drops"],
        seed=record["seed"],
        dtype=found["dtype"],
        settings=Settings(**{name: value for name, value in found.items() if name in known}),
        model=found["network"],
        condition=Condition.parse(record["condition"]),
    )
    for path, sha256 in recipe.files.items():
        before = words.get(printable(path), sha256)
        if before != sha256:
            raise InputError(
                f"{path} has changed since the run: its SHA-256 was {before}, now {sha256}. Put "
                "the text back that the run had, beside what it imports."
            )
    return recipe


def build_optimizer(
    network: Network,
    condition: Condition,
    rate: float,
    settings: Settings | None = None,
) -> Optimizer:
    """Return the optimizer of a condition: Eq. 3's setting, and which layers learn.

    rate      η, before any drop
    settings  its momentum, weight decay, and what they apply to; None: the paper's

    Raises InputError for a rate that is negative or not finite.
    """
    settings = settings or Settings()
    last = network.weighted[-1]
    slots = []
    for layer in learning_layers(network, condition):
        for name in layer.params:
            decays = {"W": True, "b": settings.decay_biases}.get(name, settings.decay_bn)
            signs = settings.bm_scope == "all" or name == "W"
            multiplier = {"W": settings.weight_rate, "b": settings.bias_rate}.get(name, 1.0)
            multiplier *= settings.last_layer_rate if layer is last else 1.0
            setting, decay = condition.bm if signs else 0, settings.weight_decay if decays else 0.0
            slots.append(Slot(layer, name, setting, decay, multiplier))
    return Optimizer(slots, rate, settings.momentum, condition.plugins())


def learning_layers(network: Network, condition: Condition) -> list[Layer]:
    """Return the layers whose parameters learn: all, all but the last ("bottom"), or the last."""
    last: WeightedLayer = network.weighted[-1]
    if condition.freeze == "top":
        return [last]
    return [
        layer
        for _, layer in network.walk()
        if layer.params and not (condition.freeze == "bottom" and layer is last)
    ]
