"""More learning rates for an experiment, until its best one is not at an edge of those tried."""

import math
from typing import Any

from minibp.experiments.results import lowest


def beyond(record: dict[str, Any], per_decade: int) -> list[float]:
    """Return the rate factors to try next: the one beyond each edge where the best rate lies, and
    none where a rate inside is as good.

    record      an experiment's; its honest score decides where it has one
    per_decade  rates to a factor of ten, 1 or more; factors are rounded to three digits

    >>> runs = [{"factor": f, "history": [{"error": e}]} for f, e in [(1, 5.0), (10, 4.0)]]
    >>> beyond({"rates": runs}, 2)
    [31.6]
    >>> runs.append({"factor": 31.6, "history": [{"error": 6.0}]})
    >>> beyond({"rates": runs}, 2)
    []
    """
    runs = [run for run in record["rates"] if run["factor"] > 0]
    honest = any("holdout_error" in epoch for run in runs for epoch in run["history"])
    key = "holdout_error" if honest else "error"
    scores = {run["factor"]: lowest([run], key) for run in runs}
    known = {factor: score for factor, score in scores.items() if score is not None}
    if not known:
        return []
    low, high, least = min(known), max(known), min(known.values())
    winners = {factor for factor, score in known.items() if score == least}
    if winners - {low, high}:
        return []
    steps = ((low, -1), (high, 1))
    return [_next(factor, step, per_decade) for factor, step in steps if factor in winners]


def _next(factor: float, step: int, per_decade: int) -> float:
    return float(f"{10 ** ((round(per_decade * math.log10(factor)) + step) / per_decade):.3g}")
