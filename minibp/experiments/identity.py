"""What makes two records those of the same experiment, and of the same run."""

import dataclasses
from typing import Any

from minibp.errors import differing
from minibp.study.settings import Settings
from minibp.training.schedule import BatchSchedule

DEFAULTS = dataclasses.asdict(Settings())  # of settings that an older record has not


def owner_of(head: dict[str, Any], factor: float, schedule: BatchSchedule) -> dict[str, Any]:
    """Return what a run is, by name: its experiment's identity, its rate and its batches."""
    return _flat(head) | {"rate_factor": factor, "batch_schedule": str(schedule)}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what differs between two records' identities, as "name was …, now …".

    A user's file is what its text is: the same text under another path makes no difference.
    """
    old, new = _flat(before), _flat(now)
    words = []
    if "files" not in before:  # an older record, which does not know the texts
        old["condition"], new["condition"] = before.get("condition"), now.get("condition")
    elif old["condition"] != new["condition"]:
        old["condition"], new["condition"] = before.get("condition"), now.get("condition")
        if _replaced(before, dict.fromkeys(before["files"], "")) == _replaced(
            now, dict.fromkeys(now["files"], "")
        ):
            words = [f"the rule's text was {_listed(before)}, now {_listed(now)}"]
            new["condition"] = old["condition"]
    return words + differing(old, new)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record's identity by name, with a user's file's checksum for its path."""
    own = {name: record.get(name) for name in ("dataset", "seed", "data_sha256")}
    condition = {"condition": _replaced(record, record.get("files", {}))}
    return own | condition | DEFAULTS | record.get("settings", {})


def _replaced(record: dict[str, Any], texts: dict[str, str]) -> str:
    """Return a record's condition with texts for the paths in it."""
    condition = str(record.get("condition"))
    for path, text in texts.items():
        condition = condition.replace(path, text)
    return condition


def _listed(record: dict[str, Any]) -> str:
    return ", ".join(f"{path} of SHA-256 {sha256}" for path, sha256 in record["files"].items())
