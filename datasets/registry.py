"""The data sets by name."""

import importlib
from pathlib import Path

from minibp.data import Data
from minibp.errors import unknown

NAMES = ("digits", "mnist")


def names() -> tuple[str, ...]:
    """Return the names that `load` knows."""
    return NAMES


def load(name: str, data_dir: Path | str | None = None, quiet: bool = False) -> Data:
    """Return a data set: a known name, or the path of a user's own .npz file.

    data_dir  folder with the original files; without it they are embedded, cached or downloaded
    quiet     no progress bars

    Raises InputError for an unknown name, unusable files, or a download that fails.
    """
    if name.endswith(".npz"):
        from minibp_datasets import npz

        return npz.load(Path(name))
    if name not in NAMES:
        raise unknown("data set", name, [*NAMES, "your_own.npz"])
    module = importlib.import_module(f"minibp_datasets.{name}")
    return module.load(data_dir=None if data_dir is None else Path(data_dir), quiet=quiet)
