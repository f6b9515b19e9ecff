"""What is kept to use a trained network later: its best weights, and how samples are prepared.

    preparation.h5     in an experiment's folder: the mean image, the scale, or the whitening matrix
    rate-0.1/best.h5   the weights of the epoch with the least test error
    rate-0.1/honest.h5 those of the epoch with the least error on the held-out part

The last weights are in the checkpoint. All are in a checkpoint's format, with a checksum.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minibp.errors import DamagedFileError
from minibp.training import checkpoint
from minibp.training.preprocess import Preprocess, pack, unpack
from minibp.training.run import Run
from minibp.training.weights import select

PREPARATION = "preparation.h5"
WEIGHTS = {
    "best": "best.h5",
    "honest": "honest.h5",
    "last": "checkpoint.h5",
}  # by what is asked for
DECIDES = {"best": "error", "honest": "holdout_error"}  # which of an epoch's errors


def keep_best(place: Path, run: Run, arrays: dict[str, np.ndarray], owner: dict[str, Any]) -> None:
    """Write the weights of a run's last epoch, where it is the best so far and did not diverge.

    arrays  of the run's `state()`
    owner   what the run is: see `Checkpoints`
    """
    if run.diverged_epoch is not None:
        return
    for name, key in DECIDES.items():
        if run.is_best(key):
            meta = {"epoch": run.history[-1]["epoch"], "owner": owner}
            checkpoint.replace(place / WEIGHTS[name], select(arrays), meta)


def keep_preparation(folder: Path, fitted: Callable[[], Preprocess]) -> None:
    """Write how samples are prepared, unless it is there and whole.

    A recipe may prepare them by code of its own; there is then nothing to write.
    """
    try:
        read_preparation(folder)
    except (FileNotFoundError, DamagedFileError):
        prepare = fitted()
        if isinstance(prepare, Preprocess):
            checkpoint.replace(folder / PREPARATION, *pack(prepare))


def read_preparation(folder: Path) -> Preprocess:
    """Return what turns samples into inputs, as an experiment's folder has it.

    Raises FileNotFoundError where it was not kept, and DamagedFileError.
    """
    path = folder / PREPARATION
    if not path.exists():
        raise FileNotFoundError(path)
    return unpack(*checkpoint.load(path))
