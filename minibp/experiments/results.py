"""Scores of an experiment, and its record in words."""

import contextlib
import importlib.metadata
import platform
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy

from minibp.device import has_numba
from minibp.errors import DamagedFileError, InputError
from minibp.files import read_json

RECORD = {"dataset", "condition", "seed", "settings", "finished", "best_error", "rates"}
RUN = {"factor", "rate", "history"}  # of a single run within an experiment


def score(rates: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the paper's score and the honest one of an experiment's runs.

    best_error    the minimum test error over epochs and rates, which picks on the test set (Sec. 5)
    honest_error  the test error at the rate and epoch with the least error on the held-out part of
                  the training set; None without one

    Of equal ones the first rate as given counts, then the earliest epoch.
    """
    best = _minimum(rates, "error")
    honest = _minimum(rates, "holdout_error")
    return {
        "best_error": best and best["error"],
        "best_factor": best and best["factor"],
        "best_epoch": best and best["epoch"],
        "honest_error": honest and honest["error"],
        "honest_factor": honest and honest["factor"],
        "honest_epoch": honest and honest["epoch"],
    }


def _minimum(rates: list[dict[str, Any]], key: str) -> dict[str, Any] | None:
    epochs = (
        epoch | {"factor": rate["factor"]}
        for rate in rates
        for epoch in rate["history"]
        if key in epoch
    )
    return min(epochs, key=lambda epoch: epoch[key], default=None)


def lowest(rates: list[dict[str, Any]], key: str) -> float | None:
    """Return the least error of runs over their epochs, in percent; None if none was measured.

    key  "error" or "holdout_error"
    """
    epoch = _minimum(rates, key)
    return None if epoch is None else epoch[key]


def best_rate(record: dict[str, Any], key: str = "error") -> dict[str, Any] | None:
    """Return the run of an experiment's record that its score is from; None if there is none.

    key  "error", or "holdout_error" for the honest score
    """
    scores = [(lowest([rate], key), rate) for rate in record["rates"]]
    found = [(score, rate) for score, rate in scores if score is not None]
    return min(found, key=lambda pair: pair[0], default=(None, None))[1]


def per_class(record: dict[str, Any]) -> list[float | None] | None:
    """Return the test error of each class at the best rate and epoch, in percent.

    None stands for a class without a test sample, and, in the whole's place, for a record from
    before these were counted.
    """
    rate = best_rate(record)
    if rate is None or "confusion" not in rate:
        return None
    total, wrong = ([0] * record["data"]["classes"] for _ in range(2))
    for true, predicted, count in rate["confusion"]:
        total[true] += count
        wrong[true] += count * (true != predicted)
    return [100 * bad / n if n else None for bad, n in zip(wrong, total, strict=True)]


def run_record(
    factor: float, rate: float, schedule: str, history: list, diverged_epoch: int | None
) -> dict[str, Any]:
    """Return the record of one run: its best error, when, and its history by epoch."""
    best = min(history, key=lambda epoch: epoch["error"])
    return {
        "factor": factor,
        "rate": rate,
        "batch_schedule": schedule,
        "best_error": best["error"],
        "best_epoch": best["epoch"],
        "diverged_epoch": diverged_epoch,
        "history": history,
    }


def read(folder: Path | str) -> list[dict[str, Any]]:
    """Return the records of all experiments in a folder and below it, in the order of their paths.

    A record is what run.json of scripts/train.py and scripts/sweep.py holds, and its `folder`. A
    run.json that is no such record is left out, with a warning. Raises InputError where there are
    none.
    """
    folder = Path(folder)
    records = []
    for path in sorted(folder.rglob("run.json")):
        try:
            record = read_json(path)
        except DamagedFileError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
            continue
        if is_experiment(record):
            records.append(record | {"folder": str(path.parent)})
        elif not is_run(record):
            warnings.warn(f"left out: {path} is no record of an experiment.", stacklevel=2)
    if not records:
        raise InputError(f"{folder} holds no experiments (run.json of train.py or sweep.py).")
    return records


def is_experiment(record: Any) -> bool:
    """Return whether what a file holds is an experiment's record."""
    return isinstance(record, dict) and record.keys() >= RECORD


def is_run(record: Any) -> bool:
    """Return whether it is the record of a single run."""
    return isinstance(record, dict) and record.keys() >= RUN


def table(rates: list[dict[str, Any]]) -> str:
    """Return the closing table: a line a run.

    >>> print(table([run_record(0.1, 5e-5, "100", [{"epoch": 1, "error": 1.5}], None)]))
    rate factor     rate  batch size  best error  at epoch  diverged
            0.1    5e-05         100      1.50 %         1  no
    """
    width = max([10, *(len(rate["batch_schedule"]) for rate in rates)])
    lines = [
        f"rate factor     rate  {'batch size':>{width}}  best error  at epoch  diverged",
        *(
            f"{rate['factor']:>11g}  {rate['rate']:>7g}  {rate['batch_schedule']:>{width}}  "
            f"{rate['best_error']:>8.2f} %  {rate['best_epoch']:>8}  {_diverged(rate)}"
            for rate in rates
        ),
    ]
    return "\n".join(lines)


def _diverged(rate: dict[str, Any]) -> str:
    epoch = rate["diverged_epoch"]
    return "no" if epoch is None else f"in epoch {epoch}"


def versions() -> dict[str, str]:
    """Return the versions of what computes the numbers."""
    return {
        "minibp": importlib.metadata.version("minibp"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": importlib.metadata.version("numba") if has_numba() else None,
        "scipy": scipy.__version__,
        "h5py": h5py.__version__,
        "machine": platform.machine(),
        "processor": _processor(),
    }


def _processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
