"""Everything the paper leaves open, as named settings with a default.

docs/assumptions.md gives the reason for each. All are recorded with every result, and
`scripts/train.py --set NAME=VALUE` changes any of them.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from minibp.errors import InputError, unknown


def _one_of(default: str, *others: str, help: str) -> Any:
    return field(default=default, metadata={"choices": (default, *others), "help": help})


def _number(default: float, low: float, high: float = float("inf"), *, help: str) -> Any:
    return field(default=default, metadata={"range": (low, high), "help": help})


def _flag(default: bool, *, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Settings:
    """How the network, the update and the data are set up where the paper does not say.

    >>> Settings(weight_decay=0.0).weight_decay
    0.0
    >>> Settings().momentum
    0.9
    """

    # Eq. 3
    gradient: str = _one_of("mean", "sum", help="mean or sum of the gradient over the batch")
    momentum: float = _number(0.9, 0, 1, help="m of Eq. 3 (Sec. 5)")
    weight_decay: float = _number(5e-4, 0, help="d of Eq. 3")
    decay_biases: bool = _flag(True, help="weight decay for biases")
    decay_bn: bool = _flag(True, help="weight decay for BN's scale and shift")
    bm_scope: str = _one_of("all", "weights", help="what BM's signs apply to; the rest is SGD")
    weight_rate: float = _number(1.0, 0, help="learning-rate multiplier of the weights")
    bias_rate: float = _number(1.0, 0, help="learning-rate multiplier of the biases")
    last_layer_rate: float = _number(1.0, 0, help="a further multiplier, of the last layer")
    sign_of_zero: str = _one_of("0", help="sign(0) in Eq. 3 and Sec. 2")

    # Sec. 2
    feedback_layers: str = _one_of("all", "all but last", help="which weighted layers use V")
    feedback_signs: str = _one_of("current", help="V takes the signs of W as it is now")
    sigma: float = _number(0.05, 0, help="standard deviation of RndF's V (Sec. 2)")

    # Table 1
    init: str = field(
        default="paper",
        metadata={"help": "initial W: 'paper' (see docs/assumptions.md), 'he', or a std like 0.05"},
    )
    block_order: str = _one_of(
        "conv-relu-pool", "conv-pool-relu", help="order of ReLU and pooling in a block"
    )
    mnist_conv_relu: bool = _flag(True, help="ReLU after the convolutions of the MNIST network")
    bias_before_bn: bool = _flag(False, help="biases in layers that BN follows")
    pool_padding: str = _one_of("clip", help="cells outside the image do not count in pooling")
    pool_ties: str = _one_of("first", help="which of equal maxima takes the gradient")
    relu_at_zero: str = _one_of("0", help="ReLU′(0)")

    # Arithmetic
    matmul: str = _one_of(
        "float32", "tf32", help="of a GPU's matrix products; tf32 rounds what enters to 11 bits"
    )

    # Sec. 3 and 5: BN
    bn_place: str = _one_of("before relu", help="BN between each hidden layer's N and its ReLU")
    bn_eps: float = _number(1e-4, 0, help="ε in BN's √(σ² + ε); σ² is the biased variance")
    bn_alpha: float = _number(0.05, 0, 1, help="α of the moving averages of BN's moments")
    bn_batches: int = _number(20, 1, help="training batches that BN's moments are averaged over")
    bn_average: str = _one_of("std", "variance", help="what is averaged beside the means")

    # Data
    preprocess: str = _one_of(
        *("auto", "mean", "gcn+zca", "standardize", "none"),
        help="auto: gcn+zca for CIFAR, standardize for TIMIT, else mean",
    )
    resize: str = _one_of("squash", "crop", help="how other images are brought to the input size")
    protocol_seed: int = _number(0, 0, help="draws classes and samples where the paper draws them")
    augmentation: str = _one_of("none", help="the paper uses none")
    shuffle: str = _one_of("epoch", help="a new permutation of the training set each epoch")
    last_batch: str = _one_of("keep", "drop", help="a smaller last batch of an epoch")

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            value, meta = getattr(self, entry.name), entry.metadata
            if "choices" in meta and value not in meta["choices"]:
                raise InputError(
                    f"setting {entry.name}={value!r}: expected one of {', '.join(meta['choices'])}."
                )
            if type(entry.default) is bool and type(value) is not bool:
                raise InputError(f"setting {entry.name}={value!r}: expected true or false.")
            if "range" in meta:
                _check_range(entry.name, value, *meta["range"], whole=type(entry.default) is int)
        if self.init not in ("paper", "he"):
            _positive_number("init", self.init)

    def replace(self, **changes: Any) -> "Settings":
        """Return a copy with some settings changed; unknown names raise InputError."""
        known = [entry.name for entry in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise unknown("setting", name, known)
        return dataclasses.replace(self, **changes)

    @classmethod
    def choices(cls, name: str) -> tuple[str, ...]:
        """Return the values that a setting can take."""
        return cls.__dataclass_fields__[name].metadata["choices"]

    @classmethod
    def from_text(cls, name: str, text: str) -> Any:
        """Return the value that a text means for a setting, in the setting's type."""
        kinds = {entry.name: type(entry.default) for entry in dataclasses.fields(cls)}
        if name not in kinds:
            raise unknown("setting", name, kinds)
        if kinds[name] is bool:
            if text.lower() not in ("true", "false"):
                raise InputError(f"setting {name}={text!r}: expected true or false.")
            return text.lower() == "true"
        try:
            return kinds[name](text)
        except ValueError:
            raise InputError(f"setting {name}={text!r}: expected {kinds[name].__name__}.") from None


def changes_of(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the settings that texts like "bn_eps=1e-3" change, for `Settings.replace`.

    >>> changes_of(["bn_eps=1e-3", "decay_bn=false"])
    {'bn_eps': 0.001, 'decay_bn': False}
    """
    changes = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"setting {pair!r}: expected NAME=VALUE.")
        changes[name] = Settings.from_text(name, text)
    return changes


def _check_range(name: str, value: Any, low: float, high: float, whole: bool) -> None:
    """Raise InputError unless a value is a finite number, or a whole one, in a range."""
    kinds = int if whole else int | float
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if not fits or not low <= value <= high or abs(value) == float("inf"):
        span = f"of {low} or more" if high == float("inf") else f"from {low} to {high}"
        kind = "whole" if whole else "finite"
        raise InputError(f"setting {name}={value!r}: expected a {kind} number {span}.")


def _positive_number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise InputError(f"setting {name}={text!r}: expected 'paper', 'he' or a positive number.")
    return value
