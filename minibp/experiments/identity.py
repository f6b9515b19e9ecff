"""What makes two records those of the same experiment, and of the same run."""

import re
from typing import Any

from minibp.errors import differing
from minibp.experiments.experiment import Experiment, Trial

NAMES = {"condition": "rule", "network": "network"}  # entries that may name a user's file


def owner_of(experiment: Experiment, head: dict[str, Any], trial: Trial) -> dict[str, Any]:
    """Return what a run is, by name: its experiment's identity, its rate and its batches."""
    own = {"rate_factor": trial.factor, "batch_schedule": str(trial.recipe.batches)}
    return _flat(head, experiment.recipe.defaults(), head.get("files", {})) | own


def differences(before: dict[str, Any], now: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """Return what differs between two records' identities, as "name was …, now …".

    A user's file is what its text is: the same text under another path makes no difference.

    defaults  the values of settings that an older record has not
    """
    shas = [record["files"] for record in (before, now)] if "files" in before else [{}, {}]
    blank = [dict.fromkeys(files, "") for files in shas]  # older records do not know the texts
    (old, new), (given, given_now), (rest, rest_now) = (
        [_flat(record, defaults, one) for record, one in zip((before, now), texts, strict=True)]
        for texts in (shas, [{}, {}], blank)
    )
    words = []
    for name, kind in NAMES.items():
        if old.get(name) != new.get(name):
            if rest[name] == rest_now[name]:
                words.append(f"the {kind}'s text was {_listed(before)}, now {_listed(now)}")
            else:
                words += differing({name: given.get(name)}, {name: given_now.get(name)})
            new[name] = old.get(name)
    return words + differing(old, new)


def _flat(
    record: dict[str, Any], defaults: dict[str, Any], texts: dict[str, str]
) -> dict[str, Any]:
    """Return a record's identity by name, with texts for the paths in it."""
    own = {name: record.get(name) for name in ("dataset", "seed", "data_sha256")}
    flat = own | {"condition": record.get("condition")} | defaults | record.get("settings", {})
    flat.pop("rate_factors", None)  # more rates can be tried later, or elsewhere
    unnamed = set(texts)
    for name in sorted(NAMES.keys() & flat.keys()):
        for path in sorted(texts, key=len, reverse=True):
            # The whole path, not the end of another: my/rules.py is not rules.py.
            whole = rf"(?<![\w./-]){re.escape(path)}(?=:)"
            flat[name], found = re.subn(whole, lambda _, p=path: texts[p], str(flat[name]))
            unnamed -= {path} if found else set()
    if unnamed:  # such as a recipe's own
        flat["texts of files"] = sorted(texts[path] for path in unnamed)
    return flat


def _listed(record: dict[str, Any]) -> str:
    return ", ".join(f"{path} of SHA-256 {sha256}" for path, sha256 in record["files"].items())
