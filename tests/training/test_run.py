import json

import numpy as np
import pytest
from conftest import make_device
from residual_net import SmallRecipe

from minibp import Condition, Settings
from minibp.errors import InputError
from minibp.study.recipe import PaperRecipe
from minibp.training import checkpoint
from minibp.training.data import Data
from minibp.training.run import Run
from minibp.training.schedule import BatchSchedule
from minibp.training.settings import RunSettings

HEADS = ["SGD", "BN+BM", "uSF", "NuSF", "brSF-25+BN+BM", "frSF+BN+BM3 Bottom", "RndF+BM2 Top"]


@pytest.fixture(scope="session")
def toy():
    """Three classes of blurred stripes: a task that a few steps learn."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    stripes = np.array([np.roll(np.tile([255, 0, 0], 10)[:28], shift) for shift in range(3)])
    X = stripes[y][:, None, :, None] * rng.uniform(0.5, 1, (90, 28, 28, 1))
    X = X.astype("uint8")
    return Data("toy", X[:60], y[:60], X[60:], y[60:], classes=3)


def plan(head="frSF+BN+BM", rate=1e-3, epochs=3, batch=20, **other):
    settings = Settings().replace(**{"bn_batches": 2} | other.pop("settings", {}))
    condition = Condition.parse(head)
    return PaperRecipe(
        model="mnist",
        condition=condition,
        rate=rate,
        batches=BatchSchedule(batch),
        epochs=epochs,
        settings=settings,
        **other,
    )


def finish(run):
    while not run.finished:
        run.advance()
    return run


def batches(run, epoch):
    return run.feeds["train"].batches(*run.batches_of("shuffle", epoch))


def weights(run):
    device = run.device
    arrays, _ = run.state()
    return arrays | {f"V/{la.name}": device.to_host(la.V) for la in run.network.weighted}


def assert_same(a, b):
    assert sorted(a) == sorted(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def without_seconds(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def test_it_learns(toy):
    run = finish(Run(plan(rate=5e-3, epochs=4), toy))
    assert run.history[0]["loss"] > run.history[-1]["loss"]
    assert min(row["error"] for row in run.history) < 10  # chance is 66.7


def test_a_record_is_strict_json_and_complete(toy):
    run = finish(Run(plan(), toy))
    json.dumps(run.history, allow_nan=False)
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    for row in run.history:
        assert sorted(row) == ["epoch", "error", "layers", "loss", "seconds"]
        assert list(row["layers"]) == ["conv1", "conv2", "fc3", "fc4"]
        assert row["layers"]["fc3"]["sign_concordance"] == 1


def test_the_rate_follows_the_schedule(toy):
    run, rates = Run(plan(rate=1.0, epochs=4, drops=(1, 3), head="SGD"), toy), []
    while not run.finished:
        run.advance()
        rates.append(run.optimizer.rate)
    assert rates == pytest.approx([1.0, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("head", HEADS)
def test_resuming_gives_the_same_bits(toy, head):
    whole = finish(Run(plan(head), toy))
    first = Run(plan(head), toy)
    first.advance()
    arrays, meta = first.state()
    meta = json.loads(json.dumps(meta))  # as a checkpoint keeps it
    second = Run(plan(head), toy)
    second.restore({name: array.copy() for name, array in arrays.items()}, meta)
    assert_same(weights(first), weights(second))
    finish(second)
    assert_same(weights(whole), weights(second))
    assert without_seconds(whole.history) == without_seconds(second.history)


@pytest.mark.parametrize("head", ["BN+BM", "brSF-25+BN+BM", "RndF"])
def test_the_strict_device_trains_to_the_same_bits(toy, head):
    plain = finish(Run(plan(head, epochs=2), toy, make_device("plain")))
    strict = finish(Run(plan(head, epochs=2), toy, make_device("strict")))
    assert_same(weights(plain), weights(strict))
    assert without_seconds(plain.history) == without_seconds(strict.history)


@pytest.mark.parametrize("name", ["cpp", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("head", HEADS)
def test_a_gpu_trains_alike_and_goes_on_from_a_state(toy, head, name):
    cpu = finish(Run(plan(head, epochs=2), toy, make_device("plain")))
    device = make_device(name)
    first = Run(plan(head, epochs=2), toy, device)
    first.advance()
    arrays, meta = first.state()
    second = Run(plan(head, epochs=2), toy, device)
    second.restore(arrays, meta)
    finish(first), finish(second)
    assert first.history[0]["loss"] == pytest.approx(cpu.history[0]["loss"], rel=1e-2)
    assert without_seconds(first.history) == without_seconds(second.history)


def test_the_diagnostics_do_not_touch_training(toy, monkeypatch):
    with_them = finish(Run(plan("brSF+BN"), toy))
    monkeypatch.setattr("minibp.training.run.diagnose", lambda *_: {})
    without = finish(Run(plan("brSF+BN"), toy))
    assert_same(weights(with_them), weights(without))


def test_divergence_ends_the_run_and_is_scored_as_a_constant_guess(toy):
    y = toy.y_train.copy()
    y[:4] = 2  # the most frequent training class
    data = Data("toy", toy.X_train, y, toy.X_test, toy.y_test, 3)
    run = finish(Run(plan("SGD", rate=1e6, epochs=5), data))
    assert run.diverged_epoch == len(run.history) < 5
    last = run.history[-1]
    assert (last["loss"], last["layers"]) == (None, {})
    assert last["error"] == pytest.approx(100 * 2 / 3)
    assert run.finished


def test_of_equally_frequent_classes_the_lowest_is_guessed(toy):
    data = Data("toy", toy.X_train, toy.y_train, toy.X_test[:4], np.array([0, 0, 0, 1]), 3)
    run = finish(Run(plan("SGD", rate=1e6), data))
    assert run.history[-1]["error"] == 25


def test_a_constant_guess_is_scored_to_the_last_digit(toy):
    labels = np.repeat([0, 1], [18, 7])  # 100 * (7 / 25) is 28.000000000000004
    data = Data("toy", toy.X_train, toy.y_train, toy.X_test[:25], labels, 3)
    run = finish(Run(plan("SGD", rate=1e6), data))
    assert run.history[-1]["error"] == 28


def test_weights_that_overflow_in_the_last_step_are_noticed_in_evaluation(toy):
    run = Run(plan("SGD", rate=1e30, batch=60, epochs=2), toy)
    assert run.advance()["loss"] is None  # the only batch's loss is finite; the outputs are not
    assert run.diverged_epoch == 1


def test_evaluation_uses_the_papers_moving_averages(toy):
    """α = 0.05 over bn_batches training batches, followed here by hand for the first layer."""
    run = Run(plan("BN", epochs=1, settings={"bn_batches": 5}), toy)
    seen = []
    layer = run.network.batch_norms()[0]
    observe = layer.observe

    def spy(alpha, average):
        seen.append((alpha, layer.cache["mean"].copy(), layer.cache["std"].copy()))
        observe(alpha, average)

    layer.observe = spy
    run.advance()
    assert [alpha for alpha, _, _ in seen] == [0.05] * 5  # 3 batches an epoch: gone through again
    mean, std = seen[0][1:]
    for _, new_mean, new_std in seen[1:]:
        mean, std = 0.95 * mean + 0.05 * new_mean, 0.95 * std + 0.05 * new_std
    np.testing.assert_allclose(layer.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.std, std, rtol=1e-5)
    np.testing.assert_array_equal(seen[0][1], seen[3][1])  # the weights stayed fixed


def test_the_sum_is_the_mean_at_a_rate_times_the_batch_size(toy):
    mean = finish(Run(plan("SGD", rate=2e-3, epochs=1), toy))
    settings = {"gradient": "sum", "weight_decay": 5e-4 * 20}
    total = finish(Run(plan("SGD", rate=1e-4, epochs=1, settings=settings), toy))
    for a, b in zip(mean.network.weighted, total.network.weighted, strict=True):
        np.testing.assert_allclose(a.W, b.W, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("last", "sizes"), [("keep", [25, 25, 10]), ("drop", [25, 25])])
def test_the_last_batch(toy, last, sizes):
    run = Run(plan(batch=25, settings={"last_batch": last}), toy)
    assert [len(y) for _, y in batches(run, 1)] == sizes
    assert run.steps_per_epoch(1) == len(sizes)


def test_every_epoch_sees_every_sample_once_in_a_new_order(toy):
    run = Run(plan("SGD", settings={"preprocess": "none"}), toy)
    orders = []
    for epoch in (1, 2):
        X = np.concatenate([X for X, _ in batches(run, epoch)])
        assert sorted(map(bytes, X)) == sorted(map(bytes, toy.X_train.astype("float32")))
        orders.append(list(map(bytes, X)))
    assert orders[0] != orders[1]


def test_the_batches_are_the_same_under_every_condition(toy):
    a, b = (Run(plan(head), toy) for head in ("SGD", "brSF-50+BN+BM"))
    pairs = zip(batches(a, 1), batches(b, 1), strict=True)
    for (X, y), (U, z) in pairs:
        np.testing.assert_array_equal(X, U)
        np.testing.assert_array_equal(y, z)


def test_bad_plans(toy):
    with pytest.raises(InputError, match="epochs 0"):
        plan(epochs=0)
    with pytest.raises(InputError, match="network 'cifar' takes"):
        Run(PaperRecipe(model="cifar", condition=Condition(), rate=1e-3), toy)


def nested(toy, head="uSF", device="plain", **other):
    X = toy.X_train[:, 10:18, 10:18], toy.X_test[:, 10:18, 10:18]
    data = Data("nested", X[0], toy.y_train, X[1], toy.y_test, classes=3)
    options = {"rate": 0.02, "epochs": 3, "batches": BatchSchedule(20)} | other
    recipe = SmallRecipe(head=head, settings=RunSettings(bn_batches=2), **options)
    return Run(recipe, data, make_device(device))


@pytest.mark.parametrize("head", ["frSF-25", "RndF"])
@pytest.mark.parametrize("device", ["plain", "compiled", "strict"])
def test_a_run_with_layers_inside_of_layers_resumes_to_the_bit(toy, head, device, tmp_path):
    whole, first = finish(nested(toy, head, device)), nested(toy, head, device)
    first.advance()
    checkpoint.save(tmp_path / "checkpoint.h5", *first.state())
    arrays, meta = checkpoint.load(tmp_path / "checkpoint.h5")
    assert {"parameters/block1-1/conv2/W", "moments/block2-1/bn/std"} <= set(arrays)
    assert "momentum/block1-1/bn1/scale" in arrays
    assert ("feedback/block2-2/conv1/M" in arrays) == (head in ("frSF-25", "brSF-25"))
    second = nested(toy, head, device)
    second.restore(arrays, meta)
    assert_same(weights(whole), weights(finish(second)))
    assert without_seconds(whole.history) == without_seconds(second.history)
    assert "block2-1/conv" in whole.history[0]["layers"]


def test_layers_inside_of_layers_learn(toy):
    run = finish(nested(toy, epochs=6))
    assert run.history[-1]["loss"] < 0.7 * run.history[0]["loss"]
