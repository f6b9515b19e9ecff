"""Records as a flat table, a row for each run, and back: small enough to keep with the text."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minibp.errors import InputError
from minibp.experiments.results import lowest, read, score

COLUMNS = (
    "dataset network condition classes train epochs rate_factor schedule seed "
    "best_error best_epoch diverged_epoch honest_error holdout_error"
).split()
NEEDED = ("dataset", "network", "condition", "train", "epochs", "rate_factor", "seed", "best_error")


def rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each run of some records, with COLUMNS.

    classes, train  of the data set: how many classes, and training samples
    holdout_error   the run's least error on the held-out part, in percent; None without one
    honest_error    its test error at that epoch
    """
    return [
        {
            "dataset": record["dataset"],
            "network": record["settings"].get("network"),
            "condition": record["condition"],
            "classes": record["data"]["classes"],
            "train": record["data"]["train"],
            "epochs": record["settings"]["epochs"],
            "rate_factor": rate["factor"],
            "schedule": rate["batch_schedule"],
            "seed": record["seed"],
            "best_error": rate["best_error"],
            "best_epoch": rate["best_epoch"],
            "diverged_epoch": rate["diverged_epoch"],
            "honest_error": score([rate])["honest_error"],
            "holdout_error": lowest([rate], "holdout_error"),
        }
        for record in records
        for rate in record["rates"]
    ]


def read_rows(path: Path | str) -> list[dict[str, str]]:
    """Return the rows of a CSV, as text; raise InputError for a file without NEEDED columns."""
    with open(path, encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    missing = [name for name in NEEDED if not found or name not in found[0]]
    if missing:
        raise InputError(
            f"{path} is no table of runs: expected rows with the columns {', '.join(NEEDED)}; "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        )
    return found


def read_csv(path: Path | str) -> list[dict[str, Any]]:
    """Return the records of a table of runs, one for each experiment, as far as the table has them.

    A run's history has the epochs that its scores are from. Raises InputError for a file that is no
    such table, and names the line of an entry that is no number.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for line, row in enumerate(read_rows(path), start=2):
        try:
            record = _record(row, path)
            key = tuple(row[name] for name in ("dataset", "network", "condition", *_SIZES, "seed"))
            found.setdefault(key, record)["rates"].append(_run(row))
        except ValueError as error:
            raise InputError(f"{path}, line {line}: {error}.") from error
    return [record | score(record["rates"]) for record in found.values()]


_SIZES = ("train", "epochs")


def _record(row: dict[str, str], path: Path | str) -> dict[str, Any]:
    train = int(row["train"])
    return {
        "dataset": row["dataset"],
        "condition": row["condition"],
        "seed": int(row["seed"]),
        # The training samples as well: records of one grid have all settings in common.
        "settings": {"network": row["network"], "epochs": int(row["epochs"]), "train": train},
        "data": {"classes": _maybe(int, row.get("classes")), "train": train},
        "finished": True,
        "rates": [],
        "folder": str(path),
    }


def _run(row: dict[str, str]) -> dict[str, Any]:
    best = {"epoch": _maybe(int, row.get("best_epoch")), "error": float(row["best_error"])}
    honest, held = (_maybe(float, row.get(name)) for name in ("honest_error", "holdout_error"))
    history = [best]
    if honest is not None and held is not None:
        history.append({"epoch": None, "error": honest, "holdout_error": held})
    return {
        "factor": float(row["rate_factor"]),
        "batch_schedule": row.get("schedule") or "",
        "best_error": best["error"],
        "best_epoch": best["epoch"],
        "diverged_epoch": _maybe(int, row.get("diverged_epoch")),
        "history": history,
    }


def _maybe(kind: Any, text: str | None) -> Any:
    return kind(text) if text else None


def frame(folder: Path | str) -> Any:
    """Return the rows of all runs in a folder as a pandas DataFrame (the extra `frames`)."""
    import pandas

    return pandas.DataFrame(rows(read(folder)))
