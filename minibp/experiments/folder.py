"""An experiment's folder: what it holds, and whether that is this experiment.

    experiment.json    what the experiment is, from its first run on
    run.json           the record of all runs that are done
    curves.png         errors by epoch
    preparation.h5     how samples are prepared, where weights are kept: see kept.py
    rate-0.1/          a run: its own run.json, its weights, and while it goes on checkpoint.h5 and
                       history.jsonl

What is there is all that a later run knows. A run whose run.json is there is done; one with a
checkpoint goes on from it.
"""

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minibp.device import Device
from minibp.errors import DamagedFileError, InputError, differing
from minibp.experiments import results
from minibp.experiments.experiment import Experiment
from minibp.experiments.identity import differences, owner_of
from minibp.experiments.kept import PREPARATION
from minibp.files import read_json, write_json
from minibp.training.data import Data

HEAD, RECORD, CURVES = "experiment.json", "run.json", "curves.png"


def prepare(experiment: Experiment, data: Data, device: Device) -> tuple[dict[str, Any], Data]:
    """Return the head of an experiment's record, and the part of the data that it is done on.

    Raises InputError for data that does not fit.
    """
    sha256 = data.sha256  # of the whole data set; what is taken of it stands in the settings
    data = data.reduced(experiment.train_limit, experiment.holdout, experiment.seed)
    experiment.recipe.check(data)
    head = experiment.identity() | {
        "data": data.describe(),
        "data_sha256": sha256,
        "device": device.describe(),
        "versions": results.versions(),
    }
    return head, data


def head_of(folder: Path) -> dict[str, Any] | None:
    """Return what says which experiment a folder holds, or None; warns of what is damaged."""
    for name in (RECORD, HEAD):
        try:
            return _read_head(folder / name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except DamagedFileError as error:
            again = "It is written anew from the runs' own records."
            warnings.warn(f"{error} {again}", stacklevel=3)
    return None


def changes_in(folder: Path, experiment: Experiment, data_sha256: str | None) -> list[str]:
    """Return how a folder's experiment differs from another; nothing if there is none yet."""
    before = head_of(folder)
    if before is None:
        return []
    sha256 = before.get("data_sha256") if data_sha256 is None else data_sha256
    now = experiment.identity() | {"data_sha256": sha256}
    return differences(before, now, experiment.recipe.defaults())


def claim(folder: Path, experiment: Experiment, head: dict[str, Any]) -> None:
    """Have a folder hold an experiment; raise InputError if it holds another one."""
    _check_same(folder, experiment, head)
    folder.mkdir(parents=True, exist_ok=True)
    head = _with_rates(head, _known_rates(folder, experiment))
    try:
        claimed = _read_head(folder / HEAD)["settings"].get("rate_factors")
    except (FileNotFoundError, DamagedFileError):
        claimed = None
    if claimed != head["settings"]["rate_factors"]:
        write_json(folder / HEAD, head)


def check_free(folder: Path, experiment: Experiment, head: dict[str, Any], *, resume: bool) -> None:
    """Raise InputError unless a folder is new, or holds nothing but this experiment and `resume`
    is set."""
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"the output folder {folder} is a link to nothing: choose another --out.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"the output folder {folder} is a file: choose another one with --out.")
    known = [folder / name for name in (RECORD, HEAD) if (folder / name).exists()]
    if known and not resume:
        try:
            _read_head(known[0])
        except DamagedFileError as error:
            raise InputError(
                f"{error} The finished runs are in folders of their own: --resume goes on with "
                "them, and writes the record anew."
            ) from error
    _check_same(folder, experiment, head)
    ours = {HEAD, RECORD, CURVES, PREPARATION, *(trial.name for trial in experiment.trials())}
    others = [path.name for path in folder.iterdir() if path.name not in ours]
    others = [name for name in others if not name.endswith(".part")]
    if not known and others:
        raise InputError(
            f"the output folder {folder} holds other files, such as {min(others)!r}: choose a new "
            "one with --out."
        )
    if any(folder.iterdir()) and not resume:
        raise InputError(
            f"{folder} holds this very experiment: go on with --resume, or choose another folder "
            "with --out."
        )


def _check_same(folder: Path, experiment: Experiment, head: dict[str, Any]) -> None:
    changes = changes_in(folder, experiment, head["data_sha256"])
    if changes:
        raise InputError(
            f"{folder} holds another experiment: {'; '.join(changes)}. Choose another folder with "
            "--out."
        )


def collect(
    experiment: Experiment, head: dict[str, Any], folder: Path, *, strict: bool = True
) -> dict[str, Any]:
    """Write and return an experiment's record, from those of its runs; runs that are not done are
    missing in it. Those of other rates that the folder has, too, are in it if they are done.

    Another run's record is an InputError, or, if not `strict`, left out with a warning.
    """
    known = replace(experiment, rate_factors=_known_rates(folder, experiment))
    more = [
        trial.factor
        for trial in known.trials()
        if trial.factor not in experiment.rate_factors and (folder / trial.name / RECORD).exists()
    ]
    experiment = replace(experiment, rate_factors=(*experiment.rate_factors, *dict.fromkeys(more)))
    head = _with_rates(head, experiment.rate_factors)
    trials = experiment.trials()
    owners = {trial.name: owner_of(experiment, head, trial) for trial in trials}
    found = []
    for name, owner in owners.items():
        try:
            found.append(finished_run(folder / name, owner))
        except InputError as error:
            if strict:
                raise
            warnings.warn(f"left out: {error}", stacklevel=2)
    rates = [rate for rate in found if rate is not None]
    finished = len(rates) == len(trials)
    record = head | {"finished": finished} | results.score(rates) | {"rates": rates}
    write_json(folder / RECORD, record)
    return record


def _known_rates(folder: Path, experiment: Experiment) -> tuple[float, ...]:
    """Return the rates of the experiment, and then others that were tried in its folder."""
    before: list[float] = []
    with contextlib.suppress(FileNotFoundError, DamagedFileError):
        before = _read_head(folder / HEAD)["settings"].get("rate_factors", [])
    return tuple(dict.fromkeys((*experiment.rate_factors, *before)))


def _with_rates(head: dict[str, Any], factors: Sequence[float]) -> dict[str, Any]:
    return head | {"settings": head["settings"] | {"rate_factors": list(factors)}}


def finished_run(place: Path, owner: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record in a run's folder, or None if there is none that is whole.

    Raises InputError for the record of another run.
    """
    path = place / RECORD
    if not path.exists():
        return None
    try:
        record = read_json(path)
        if not isinstance(record, dict) or not isinstance(record.get("owner", {}), dict):
            raise DamagedFileError("expected an object")
        before = {"rate_factor": record["factor"], "batch_schedule": record["batch_schedule"]}
        if not record["history"] or not isinstance(record["history"][0], dict):
            raise DamagedFileError("expected a history of epochs")
    except (DamagedFileError, KeyError, TypeError) as error:
        warnings.warn(
            f"{path} is no record of a run ({error}): the run is gone on with.", stacklevel=2
        )
        return None
    before |= record.get("owner", {})
    before.pop("rate_factors", None)  # older records knew which other rates were tried
    if owner.get("data_sha256") is None:  # not known here
        before.pop("data_sha256", None)
    changes = differing(before, {name: owner.get(name) for name in before})
    if changes:
        raise InputError(
            f"{path} is another run's: {'; '.join(changes)}. Remove it, and the run is done anew."
        )
    return record


def is_finished(folder: Path) -> bool:
    """Return whether an experiment's record is there, whole, and says that all runs are done."""
    with contextlib.suppress(DamagedFileError, KeyError, TypeError, FileNotFoundError):
        return bool(read_json(folder / RECORD)["finished"])
    return False


def _read_head(path: Path) -> dict[str, Any]:
    head = read_json(path)
    fits = isinstance(head, dict) and isinstance(head.get("settings"), dict)
    if not fits or not isinstance(head.get("files", {}), dict):
        raise DamagedFileError(f"{path} is no record of an experiment.")
    return head
