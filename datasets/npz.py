"""A user's own data: X_train, y_train, X_test and y_test in a NumPy .npz file."""

import zipfile
from pathlib import Path

import numpy as np

from minibp.data import Data
from minibp.errors import InputError
from minibp.models import NETWORKS

ARRAYS = ("X_train", "y_train", "X_test", "y_test")


def load(path: Path) -> Data:
    """Return the data of a file.

    X_train, X_test  (N, H, W, C), (N, H, W) or (N, I), uint8 or floating point
    y_train, y_test  (N,) integers from 0
    classes          optional: how many there are, if not the largest training label + 1
    class_names      optional

    Raises InputError for a file that is not such a one.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise InputError(f"cannot read {path} as an .npz file of arrays: {error}") from error
    missing = [name for name in ARRAYS if name not in content]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}: expected {', '.join(ARRAYS)}; it has "
            f"{', '.join(content) or 'nothing'}."
        )
    for name in ("X_train", "X_test"):
        if content[name].ndim == 3:
            content[name] = content[name][..., None]
    labels = content["y_train"]
    if labels.size == 0:
        raise InputError(f"{path}: y_train is empty.")
    fitting = [
        name for name, (_, shape) in NETWORKS.items() if shape == content["X_train"].shape[1:]
    ]
    return Data(
        name=str(path),
        **{name: content[name] for name in ARRAYS},
        classes=int(content["classes"]) if "classes" in content else int(labels.max()) + 1,
        network="cifar" if "cifar" in fitting else (fitting or [None])[0],
        class_names=tuple(map(str, content.get("class_names", ()))),
        note=f"the user's own file {path}",
    )
