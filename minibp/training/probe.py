"""Diagnostics within an epoch: every so many steps."""

from collections.abc import Callable
from typing import Any

Diagnosis = dict[str, dict[str, float | None]]
Moments = list[tuple[float, Diagnosis]]  # after how many epochs, and what was found


class Probe:
    """Calls `look` before the first step of a run, and after every so many steps of an epoch.

    every  how many; 0 for never
    epoch  1, 2, …
    steps  in the epoch
    look   returns the diagnostics by layer

    The rows say after how many `epochs` they were taken: 0.25 is a quarter through the first.
    """

    def __init__(
        self,
        every: int = 0,
        epoch: int = 1,
        steps: int = 1,
        look: Callable[[], Diagnosis] = dict,
    ):
        self.every, self.epoch, self.steps, self.look = every, epoch, steps, look
        self.done = 0  # steps of the epoch
        self.rows: list[dict[str, Any]] = []
        if every and epoch == 1:
            self.take()

    def due(self) -> bool:
        """Count a step; return whether it is time."""
        self.done += 1
        return self.every > 0 and self.done % self.every == 0 and self.done < self.steps

    def take(self) -> None:
        """Add a row."""
        epochs = self.epoch - 1 + self.done / self.steps
        self.rows.append({"epochs": round(epochs, 6), "layers": self.look()})

    def record(self) -> dict[str, Any]:
        """Return what an epoch's record has of it."""
        return {"probes": self.rows} if self.rows else {}


def moments_of(history: list[dict[str, Any]]) -> Moments:
    """Return all diagnostics of a run's history in order: within epochs, and at their ends."""
    found: Moments = []
    for row in history:
        found += [(probe["epochs"], probe["layers"]) for probe in row.get("probes", [])]
        found.append((row["epoch"], row["layers"]))
    return found
