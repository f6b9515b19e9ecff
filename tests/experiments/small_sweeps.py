"""Small data, experiments and sweeps that the tests of this folder share."""

from pathlib import Path

from minibp_datasets import registry

from minibp import Condition, Settings
from minibp.experiments import results
from minibp.experiments.job import DataSource, Worker, jobs_of
from minibp.experiments.sweep import Sweep
from minibp.experiments.trial import Listener
from minibp.study.recipe import paper_experiment


def experiment(head="frSF+BN+BM", **changes):
    given = {"epochs": 2, "batch_size": 20, "rate_factors": (1, 0.1)} | changes
    given = {"settings": Settings(bn_batches=2)} | given
    return paper_experiment("toy", "mnist", Condition.parse(head), **given)


def rate(factor, *rows, **more):
    history = [
        {"epoch": k + 1, "error": error, "holdout_error": held}
        for k, (error, held) in enumerate(rows)
    ]
    return {"factor": factor, "history": history} | more


class Cut(Listener):
    """Raises KeyboardInterrupt in some step, as Ctrl-C does."""

    def __init__(self, after):
        self.left = after

    def step(self, loss):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def comparable(record):
    rates = [
        {k: v for k, v in rate.items() if k != "history"}
        | {"history": [{k: v for k, v in row.items() if k != "seconds"} for row in rate["history"]]}
        for rate in record["rates"]
    ]
    return {k: v for k, v in record.items() if k != "rates"} | {"rates": rates}


RULE = """from minibp.feedback import FeedbackRule

class R(FeedbackRule):
    def V(self, W): return """


ROOT = Path(__file__).parents[2]


DATA = "synthetic:mnist,classes=3,train=60,test=30"


HOW = Worker(kernels="plain")


def jobs(folder, heads=("SGD", "uSF+BM"), factors=(1, 0.1), epochs=2, data=DATA):
    experiments = [
        paper_experiment(data, "mnist", Condition.parse(head), epochs=epochs, rate_factors=factors)
        for head in heads
    ]
    return jobs_of([(experiment, DataSource(data)) for experiment in experiments], folder)


def sweep(folder, **options):
    return Sweep(jobs(folder, **options), registry.load, HOW)


def quiet(_):
    pass


def numbers(folder):
    """Return what a sweep's folder says, but for times."""

    def plain(value):
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in ("seconds", "folder")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return plain(results.read(folder))
