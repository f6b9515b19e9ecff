"""From a run's folder to its trained network."""

import shutil

import numpy as np
import pytest
from minibp_datasets import registry

import minibp
from minibp import Condition, Settings, get_device
from minibp.errors import DamagedFileError, InputError
from minibp.experiments.job import DataSource, Worker, jobs_of
from minibp.experiments.sweep import Sweep, run_experiment, run_here
from minibp.files import read_json, write_json
from minibp.study.recipe import paper_experiment, recipe_of
from minibp.training.data import Data
from minibp.training.run import Run
from minibp.training.weights import put_weights, weights_of

MNIST = "synthetic:mnist,classes=3,train=60,test=30"
CIFAR = "synthetic:cifar,classes=3,train=60,test=30"


def device():
    return get_device("cpu", threads=1)


def experiment(head, data, network, **changes):
    given = {"epochs": 3, "batch_size": 20, "rate_factors": (1,)} | changes
    given = {"settings": Settings(bn_batches=2)} | given
    return paper_experiment(data, network, Condition.parse(head), **given)


def train(folder, head="frSF+BN+BM", data=MNIST, network="mnist", **changes):
    data = data if isinstance(data, Data) else registry.load(data)
    given = experiment(head, data.name, network, **changes)
    return data, run_experiment(given, data, folder, device=device())


def error(trained, data):
    return 100 * int((trained.predict(data.X_test) != data.y_test).sum()) / len(data.y_test)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run whose best epoch is not the last, with a rate that wins and one that does not."""
    folder = tmp_path_factory.mktemp("finished")
    rates = {"rate_factors": (5000, 1e-9), "epochs": 4}
    return folder, *train(folder, **rates, holdout=0.2)


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_the_best_rates_best_epoch(finished):
    folder, data, record = finished
    assert record["best_factor"] == 5000
    assert record["best_epoch"] < 4
    for place in (folder, str(folder), folder / "rate-5000"):
        trained = minibp.load(place, device=device())
        assert trained.epoch == record["best_epoch"]
        assert trained.rate["factor"] == 5000
        assert error(trained, data) == record["best_error"]
        assert trained.class_names == ("pattern 0", "pattern 1", "pattern 2")


def test_honest_and_last_weights(finished):
    folder, data, record = finished
    for weights, epoch in (("honest", record["honest_epoch"]), ("last", 4)):
        trained = minibp.load(folder, weights, device())
        history = trained.rate["history"]
        assert trained.epoch == epoch
        assert error(trained, data) == history[epoch - 1]["error"]


def test_probabilities(finished):
    trained = minibp.load(finished[0])
    P = trained.probabilities(finished[1].X_test)
    assert P.shape == (30, 3)
    np.testing.assert_allclose(P.sum(axis=1), 1)
    np.testing.assert_array_equal(P.argmax(axis=1), trained.predict(finished[1].X_test))
    np.testing.assert_allclose(trained.probabilities(finished[1].X_test[:1])[0], P[0], rtol=1e-4)


def test_probabilities_are_those_of_the_runs_loss(tmp_path):
    data, _ = train(tmp_path, settings=Settings(loss="sigmoid", bn_batches=2))
    trained = minibp.load(tmp_path)
    expected = 1 / (1 + np.exp(-trained.outputs(data.X_test).astype(float)))
    np.testing.assert_allclose(trained.probabilities(data.X_test), expected)


@pytest.mark.parametrize(
    ("head", "preprocess"),
    [("BN", "auto"), ("uSF", "standardize"), ("frSF-25+BN Bottom", "unit"), ("BN", "none")],
)
def test_a_network_whose_inputs_are_whitened_or_not(tmp_path, head, preprocess):
    settings = Settings(preprocess=preprocess, bn_batches=2)
    data, record = train(tmp_path, head, CIFAR, "cifar", settings=settings, epochs=2)
    assert error(minibp.load(tmp_path, device=device()), data) == record["best_error"]


def test_vectors(tmp_path):
    data, record = train(tmp_path, "BN", "synthetic:timit,classes=3,train=60,test=30", "timit")
    trained = minibp.load(tmp_path, device=device())
    assert error(trained, data) == record["best_error"]
    assert trained.shape == (1845,)


def test_fractions_are_what_they_were_to_the_run(tmp_path, rng, finished):
    y = np.arange(60) % 3
    X = rng.uniform(0, 0.4, (60, 28, 28, 1)) + 0.3 * y[:, None, None, None]
    data, record = train(tmp_path, "BN", Data("mine", X, y, X, y, classes=3))
    trained = minibp.load(tmp_path, device=device())
    assert record["best_error"] == error(trained, data)
    np.testing.assert_array_equal(trained.outputs(X), trained.outputs(data.X_test))
    with pytest.raises(InputError, match="expected pixels from 0 to 255"):
        minibp.load(finished[0]).predict(X)


def test_the_recipe_of_a_record(finished):
    given = experiment("frSF+BN+BM", MNIST, "mnist", epochs=4).recipe
    record = finished[2] | {"settings": finished[2]["settings"] | {"of_a_later_version": 1}}
    assert recipe_of(record) == given
    del record["settings"]["network"]
    with pytest.raises(InputError, match="give the recipe"):
        recipe_of(record)


def test_a_users_rule_must_be_that_of_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (
        "from minibp.feedback import FeedbackRule\n\n\nclass Half(FeedbackRule):\n"
        "    redraw = 'once'\n\n    def V(self, W):\n        return W / 2\n"
    )
    (tmp_path / "half.py").write_text(text)
    data, record = train(tmp_path / "run", "half.py:Half+BN")
    assert error(minibp.load("run", device=device()), data) == record["best_error"]
    (tmp_path / "half.py").write_text(text.replace("/ 2", "/ 3"))
    with pytest.raises(InputError, match=r"half\.py has changed since the run: its SHA-256 was"):
        minibp.load("run")
    (tmp_path / "half.py").unlink()
    with pytest.raises(InputError, match=r"half\.py is not here: its path is seen from the folder"):
        minibp.load("run")


def test_a_users_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "def small(net, classes):\n    net.conv(5, 4, stride=4)\n    net.output(classes)\n"
    (tmp_path / "net.py").write_text(text)
    data, record = train(tmp_path / "run", "uSF+BN", network="net.py:small")
    assert error(minibp.load("run", device=device()), data) == record["best_error"]
    (tmp_path / "net.py").write_text(text.replace("5, 4", "5, 6"))
    with pytest.raises(InputError, match=r"net\.py has changed since the run"):
        minibp.load("run")


def test_a_run_with_tf32_is_used_on_a_cpu(copy, finished):
    record = read_json(copy / "run.json")
    record["settings"]["matmul"] = "tf32"
    write_json(copy / "run.json", record)
    assert error(minibp.load(copy, device=device()), finished[1]) == record["best_error"]


def test_a_recipe_of_ones_own(finished, monkeypatch):
    folder, data, record = finished
    own = experiment("frSF+BN+BM", MNIST, "mnist", epochs=4).recipe
    other = experiment("frSF+BN", MNIST, "mnist", epochs=5).recipe
    with pytest.raises(InputError, match=r"not the recipe of the run: .*epochs was 4, now 5"):
        minibp.load(folder, recipe=other)
    monkeypatch.setattr("minibp.study.trained.recipe_of", None)
    assert error(minibp.load(folder, device=device(), recipe=own), data) == record["best_error"]


def test_samples_that_do_not_fit(finished):
    trained = minibp.load(finished[0])
    for X, message in (
        (
            np.zeros((2, 32, 32, 3), "uint8"),
            r"X has shape \(2, 32, 32, 3\): expected \(B, 28, 28, 1",
        ),
        (np.zeros((28, 28, 1), "uint8"), r"expected \(N, H, W, C\)"),
        (np.zeros((2, 28, 28, 1), int), "expected uint8 or floating point"),
        (np.full((2, 28, 28, 1), np.nan), "NaN"),
    ):
        with pytest.raises(InputError, match=message):
            trained.predict(X)


def test_what_is_no_run(tmp_path, finished):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    write_json(tmp_path / "other" / "run.json", {"other": 1})
    for name, message in (
        ("nowhere", "nowhere is no folder"),
        ("empty", r"empty has no run\.json"),
        ("other", "no record of an experiment"),
    ):
        with pytest.raises(InputError, match=message):
            minibp.load(tmp_path / name)
    with pytest.raises(InputError, match="unknown weights 'bset'; did you mean 'best'"):
        minibp.load(finished[0], "bset")


def test_an_experiment_without_a_finished_run(copy):
    record = read_json(copy / "run.json")
    write_json(copy / "run.json", record | {"rates": [], "finished": False})
    with pytest.raises(InputError, match="no finished run: go on with --resume"):
        minibp.load(copy)


def test_a_run_from_before_weights_were_kept(copy):
    (copy / "rate-5000" / "best.h5").unlink()
    with pytest.raises(InputError, match=r"no best\.h5: .* weights 'last'"):
        minibp.load(copy)
    assert minibp.load(copy, "last").epoch == 4
    (copy / "rate-5000" / "checkpoint.h5").unlink()
    with pytest.raises(InputError, match=r"Run it again, into a new folder\.$"):
        minibp.load(copy)
    record = read_json(copy / "run.json")
    del record["data"]["shape"]
    write_json(copy / "run.json", record)
    assert minibp.load(copy, "honest").shape == (28, 28, 1)


def test_a_sweep_without_keep_weights(tmp_path):
    given = experiment("SGD", MNIST, "mnist", epochs=1)
    (job,) = jobs = jobs_of([(given, DataSource(MNIST))], tmp_path)
    run_here(Sweep(jobs, registry.load, Worker(kernels="plain")), lambda _: None)
    with pytest.raises(InputError, match="--keep-weights"):
        minibp.load(job.place)


def test_a_run_that_diverged(tmp_path):
    train(tmp_path, "SGD", rate_factors=(1e9,))
    for weights in ("best", "last"):
        with pytest.raises(InputError, match="diverged in epoch 1"):
            minibp.load(tmp_path, weights)


def test_no_holdout(tmp_path):
    train(tmp_path, epochs=1)
    for place in (tmp_path, tmp_path / "rate-1"):
        with pytest.raises(InputError, match="without --holdout"):
            minibp.load(place, "honest")


def test_damaged_files(copy):
    for path in (copy / "preparation.h5", copy / "rate-5000" / "best.h5"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-100])
        with pytest.raises(DamagedFileError, match=path.name.replace(".", r"\.")):
            minibp.load(copy)
        path.write_bytes(whole)
    (copy / "preparation.h5").unlink()
    with pytest.raises(InputError, match="--resume and the same --out writes it"):
        minibp.load(copy)


def test_weights_of_another_run(copy):
    shutil.copy(copy / f"rate-{1e-9:g}" / "best.h5", copy / "rate-5000" / "best.h5")
    with pytest.raises(InputError, match="is another run's: rate_factor was"):
        minibp.load(copy)


def test_weights_of_another_network():
    data = registry.load(MNIST)
    one, other = (Run(experiment(h, MNIST, "mnist").recipe, data, device()) for h in ("BN", "SGD"))
    with pytest.raises(InputError, match="weights of another network"):
        put_weights(other.network, weights_of(one.network))
