"""The best epoch's weights, and how samples are prepared, are kept; so is what was mistaken."""

import numpy as np
import pytest
from minibp_datasets import registry

from minibp import Condition, Settings, get_device
from minibp.experiments import kept, results
from minibp.experiments.job import DONE, DataSource, Worker, jobs_of, work
from minibp.experiments.sweep import run_experiment
from minibp.experiments.trial import Listener
from minibp.files import read_json
from minibp.study.recipe import paper_experiment
from minibp.training import checkpoint
from minibp.training.run import Run

DATA = "synthetic:mnist,classes=3,train=60,test=30"
RISING = {"rate_factors": (5000,), "epochs": 4}  # with BN and BM the best epoch is the second


def experiment(head="frSF+BN+BM", data=DATA, network="mnist", **changes):
    given = {"epochs": 3, "batch_size": 20, "rate_factors": (1,)} | changes
    given = {"settings": Settings(bn_batches=2)} | given
    return paper_experiment(data, network, Condition.parse(head), **given)


def run(folder, *head, data=DATA, **options):
    """Return the record of an experiment, and its only run's folder."""
    own = {name: options.pop(name) for name in ("resume", "listener") if name in options}
    device = get_device("cpu", threads=1)
    given = experiment(*head, data=data, **options)
    record = run_experiment(given, registry.load(data), folder, device=device, **own)
    (place,) = folder.glob("rate-*")
    return record, place


class Watch(Listener):
    """Keeps what each epoch's network has, and raises KeyboardInterrupt at one epoch's end."""

    def __init__(self, until=None):
        self.epochs, self.until = [], until

    def epoch_ends(self, run):
        arrays = {name: array.copy() for name, array in run.state()[0].items()}
        self.epochs.append(arrays)
        if len(self.epochs) == self.until:
            raise KeyboardInterrupt


def same(a, b):
    assert sorted(a) == sorted(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize(("head", "factor", "best"), [("frSF+BN+BM", 5000, 2), ("SGD", 200, 1)])
def test_the_best_epochs_weights_are_kept(tmp_path, head, factor, best):
    watch, rising = Watch(), RISING | {"rate_factors": (factor,)}
    record, place = run(tmp_path, head, listener=watch, **rising, holdout=0.2)
    assert (record["best_epoch"], len(watch.epochs)) == (best, 4)  # it is not the last
    for name, epoch in (("best", record["best_epoch"]), ("honest", record["honest_epoch"])):
        arrays, meta = checkpoint.load(place / kept.WEIGHTS[name])
        assert meta["epoch"] == epoch
        assert {key.partition("/")[0] for key in arrays} <= {"parameters", "moments"}
        same(arrays, {key: watch.epochs[epoch - 1][key] for key in arrays})


@pytest.mark.parametrize("until", [1, 2, 3])
def test_they_are_the_same_after_a_cut(tmp_path, until):
    whole, place = run(tmp_path / "whole", **RISING)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", listener=Watch(until), **RISING)
    record, again = run(tmp_path / "cut", resume=True, **RISING)
    assert record["rates"][0]["confusion"] == whole["rates"][0]["confusion"]
    same(checkpoint.load(place / "best.h5")[0], checkpoint.load(again / "best.h5")[0])


def test_they_are_the_same_after_a_kill_between_both_files(tmp_path, monkeypatch):
    _, place = run(tmp_path / "whole", **RISING)
    save = checkpoint.save

    def killed(path, arrays, meta):
        if meta["epochs"]["rows"] == 2:
            raise KeyboardInterrupt
        save(path, arrays, meta)

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", **RISING)
    monkeypatch.undo()
    _, again = run(tmp_path / "cut", resume=True, **RISING)
    same(checkpoint.load(place / "best.h5")[0], checkpoint.load(again / "best.h5")[0])


def test_a_diverged_epoch_has_none(tmp_path):
    record, place = run(tmp_path, "SGD", rate_factors=(1e9,))
    assert record["rates"][0]["diverged_epoch"] == 1
    assert not (place / "best.h5").exists()
    guessed = {predicted for _, predicted, _ in record["rates"][0]["confusion"]}
    assert len(guessed) == 1


@pytest.mark.parametrize("keep", [True, False])
def test_a_sweep_keeps_them_by_choice(tmp_path, keep):
    (job,) = jobs_of([(experiment(holdout=0.2), DataSource(DATA))], tmp_path)
    assert work(job, registry.load, Worker(kernels="plain", keep_weights=keep)).state == DONE
    names = {path.name for path in tmp_path.rglob("*.h5")} - {"checkpoint-previous.h5"}
    all_of_them = {"best.h5", "honest.h5", "checkpoint.h5", "preparation.h5"}
    assert names == (all_of_them if keep else set())


@pytest.mark.parametrize("preprocess", ["mean", "standardize", "unit", "none", "gcn+zca"])
def test_the_preparation_is_that_of_the_run(tmp_path, preprocess):
    data = registry.load("synthetic:cifar,classes=3,train=60,test=30")
    settings = Settings(preprocess=preprocess)
    given = experiment("SGD", data.name, "cifar", settings=settings, epochs=1)
    run_experiment(given, data, tmp_path, device=get_device("cpu", threads=1))
    ours, theirs = kept.read_preparation(tmp_path), given.recipe.prepare(data)
    assert type(ours) is type(theirs)
    np.testing.assert_array_equal(ours(data.X_test), theirs(data.X_test))


def test_a_damaged_preparation_is_written_anew(tmp_path):
    run(tmp_path)
    path = tmp_path / kept.PREPARATION
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    run(tmp_path, resume=True)
    assert path.read_bytes() == whole


def test_the_confusion_matrix_is_that_of_the_best_epoch(tmp_path):
    record, place = run(tmp_path, **RISING)
    data = registry.load(DATA)
    (rate,) = record["rates"]
    assert read_json(place / "run.json")["confusion"] == rate["confusion"]
    wrong = sum(count for true, found, count in rate["confusion"] if true != found)
    assert 100 * wrong / len(data.y_test) == record["best_error"]
    counts = np.zeros(3, int)
    for true, _, count in rate["confusion"]:
        counts[true] += count
    np.testing.assert_array_equal(counts, np.bincount(data.y_test))


def test_the_error_of_each_class():
    rates = [
        {"history": [{"error": 50}], "confusion": [[0, 1, 9]]},
        {"history": [{"error": 60}, {"error": 20}], "confusion": [[0, 0, 3], [0, 2, 1], [2, 2, 1]]},
    ]
    record = {"rates": [{"factor": k} | rate for k, rate in enumerate(rates)]}
    record["data"] = {"classes": 3}
    assert results.best_rate(record) is record["rates"][1]
    assert results.per_class(record) == [25, None, 0]
    del record["rates"][1]["confusion"]
    assert results.per_class(record) is None
    assert results.per_class(record | {"rates": []}) is None


def test_a_checkpoint_from_before_has_no_confusion_matrix():
    data, recipe = registry.load(DATA), experiment().recipe
    old, new = Run(recipe, data), Run(recipe, data)
    old.advance()
    arrays, meta = old.state()
    del meta["confusion"]
    new.restore(arrays, meta)
    assert new.confusion is None
