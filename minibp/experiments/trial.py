"""One trial of an experiment: trained from its last checkpoint on, and recorded in its folder."""

import warnings
from pathlib import Path
from typing import Any

from minibp.device import Device
from minibp.errors import differing
from minibp.experiments import results
from minibp.experiments.experiment import Experiment, Trial
from minibp.experiments.folder import RECORD, finished_run
from minibp.experiments.identity import owner_of
from minibp.experiments.kept import keep_best, keep_preparation
from minibp.files import write_json
from minibp.training.checkpoint import Checkpoints
from minibp.training.data import Data
from minibp.training.run import Run


class Listener:
    """Told how an experiment goes on; the default hears nothing."""

    def compiling(self) -> None:
        """Called before kernels are compiled, which takes seconds and is needed once."""

    def trial_begins(self, trial: Trial, number: int, total: int, run: Run) -> None:
        """Called before the first step of the trial of a number, 1 to `total`, with the run and the
        epochs that it has behind it."""

    def step(self, loss: float | None) -> None:
        """Called after each step."""

    def epoch_ends(self, run: Run) -> None:
        """Called when an epoch's record and checkpoint are written."""

    def trial_ends(self, record: dict[str, Any]) -> None:
        """Called with a trial's record, also of one finished before."""


def do_trial(
    folder: Path,
    name: str,
    experiment: Experiment,
    head: dict[str, Any],
    data: Data,
    device: Device,
    listener: Listener,
    *,
    keep_weights: bool = True,
) -> dict[str, Any]:
    """Do one trial, or what is left of it, and return its record, which is then in its folder.

    folder, name  the experiment's, and the trial's within it
    head, data    as `folder.prepare` returns them
    keep_weights  whether to keep what it takes to use the trained network: see `kept`

    Raises InputError if the folder has another run's checkpoint or record.
    """
    trials = experiment.trials()
    number, trial = next((k + 1, each) for k, each in enumerate(trials) if each.name == name)
    place, owner = folder / name, owner_of(experiment, head, trial)
    if keep_weights:
        keep_preparation(folder, lambda: trial.recipe.prepare(data))
    record = finished_run(place, owner)
    if record is not None:
        return record
    place.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(place, owner)
    with device.working():
        run = Run(trial.recipe, data, device)
        arrays, meta = checkpoints.load() or (None, {})
        if arrays is not None:
            run.restore(arrays, meta)
        computed = _computed(meta.get("computed", []), len(run.history) + 1, device, place)
        listener.trial_begins(trial, number, len(trials), run)
        while not run.finished:
            run.advance(listener.step)
            arrays, meta = run.state()
            if keep_weights:  # before the checkpoint: a kill in between only repeats the epoch
                keep_best(place, run, arrays, owner)
            checkpoints.save(arrays, meta | {"computed": computed})
            listener.epoch_ends(run)
        locality = run.network.locality()
        launches, run.replay = run.launches, None  # its graphs, and their memory, end here
    record = results.run_record(
        *(trial.factor, trial.recipe.rate, str(trial.recipe.batches)),
        *(run.history, run.diverged_epoch),
    )
    record |= {"device": device.describe(), "versions": results.versions()}
    record |= {"computed": computed, "owner": owner}
    record["feedback"] = locality
    if launches is not None:
        record["launches"] = launches
    if run.confusion is not None:  # as of a checkpoint from before it had one
        record["confusion"] = run.confusion
    write_json(place / RECORD, record)
    return record


def _computed(before: list[dict], epoch: int, device: Device, place: Path) -> list[dict]:
    """Return what a run's epochs are computed with, each entry from an epoch on.

    Warns where that changes: sums in another order, or by other kernels, have other last bits.
    """
    now = {"device": device.describe(), "versions": results.versions()}
    last = {name: value for name, value in (before or [now])[-1].items() if name != "from_epoch"}
    if before and last == now:
        return before
    if before:
        changes = differing(last["device"], now["device"])
        changes += differing(last["versions"], now["versions"])
        warnings.warn(
            f"{place} goes on from epoch {epoch} with other means: {'; '.join(changes)}. The "
            "numbers are not bit for bit those of an uninterrupted run; the record says so.",
            stacklevel=2,
        )
    return [*before, {"from_epoch": epoch} | now]
