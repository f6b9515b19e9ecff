"""Everything the paper leaves open, as named settings with a default.

docs/assumptions.md gives the reason for each. All are recorded with every result, and
`scripts/train.py --set NAME=VALUE` changes any of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from minibp.errors import InputError
from minibp.losses import LOSSES
from minibp.training.settings import RunSettings, flag, number, one_of

INITS = ("paper", "he", "xavier")  # standard deviations of the initial W, by name
# What has one value only, and stands in each record all the same.
FIXED = {
    "sign_of_zero": "0",  # sign(0) in Eq. 3 and Sec. 2
    "feedback_signs": "current",  # V takes the signs of W as it is now
    "pool_padding": "clip",  # cells outside the image do not count in pooling
    "pool_ties": "first",  # which of equal maxima takes the gradient
    "relu_at_zero": "0",  # ReLU′(0)
    "bn_place": "before relu",  # BN between each hidden layer's N and its ReLU
    "shuffle": "epoch",  # a new permutation of the training set each epoch
}


@dataclass(frozen=True)
class Settings(RunSettings):
    """How the network, the update and the data are set up where the paper does not say.

    >>> Settings(weight_decay=0.0).weight_decay
    0.0
    >>> Settings().momentum
    0.9
    """

    # Eq. 3
    momentum: float = number(0.9, 0, 1, help="m of Eq. 3 (Sec. 5)")
    weight_decay: float = number(5e-4, 0, help="d of Eq. 3")
    decay_biases: bool = flag(True, help="weight decay for biases")
    decay_bn: bool = flag(True, help="weight decay for BN's scale and shift")
    bm_scope: str = one_of("all", "weights", help="what BM's signs apply to; the rest is SGD")
    weight_rate: float = number(1.0, 0, help="learning-rate multiplier of the weights")
    bias_rate: float = number(1.0, 0, help="learning-rate multiplier of the biases")
    last_layer_rate: float = number(1.0, 0, help="a further multiplier, of the last layer")

    # Sec. 2
    feedback_layers: str = one_of("all", "all but last", help="which weighted layers use V")
    sigma: float = number(0.05, 0, help="standard deviation of RndF's V (Sec. 2)")

    # Table 1
    init: str = field(
        default="paper",
        metadata={
            "help": "initial W: paper (docs/assumptions.md), he, xavier, or a std such as 0.05"
        },
    )
    block_order: str = one_of(
        "conv-relu-pool", "conv-pool-relu", help="order of ReLU and pooling in a block"
    )
    mnist_conv_relu: bool = flag(True, help="ReLU after the convolutions of the MNIST network")
    bias_before_bn: bool = flag(False, help="biases in layers that BN follows")

    # Sec. 5
    loss: str = one_of(*LOSSES, help="cross-entropy of a softmax, or of each output's own sigmoid")
    smoothing: float = number(0.0, 0, 1, help="share of the targets spread over all classes")

    # Arithmetic
    matmul: str = one_of(
        "float32", "tf32", help="of a GPU's matrix products; tf32 rounds what enters to 11 bits"
    )

    # Sec. 3 and 5: BN
    bn_eps: float = number(1e-4, 0, help="ε in BN's √(σ² + ε); σ² is the biased variance")

    # Data
    resize: str = one_of("squash", "crop", help="how other images are brought to the input size")
    protocol_seed: int = number(0, 0, help="draws classes and samples where the paper draws them")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_init(self.init)


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


def check_init(init: str) -> None:
    """Raise InputError unless a text names how W is drawn at first."""
    if init in INITS:
        return
    try:
        value = float(init)
    except (ValueError, TypeError):
        value = -1.0
    if not 0 < value < float("inf"):
        names = ", ".join(map(repr, INITS))
        raise InputError(f"setting init={init!r}: expected {names} or a positive number.")
