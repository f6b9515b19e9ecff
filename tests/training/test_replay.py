"""Steps that a GPU records and replays: the same bits as launch by launch, and when that is not
possible, a reason. The stand-in does nothing while it records, and a replay repeats what was asked
of the device, and nothing of what the host did."""

from pathlib import Path

import numpy as np
import pytest
from conftest import make_device
from cpp_device import COMPILER, CppDevice
from hypothesis import given, settings
from hypothesis import strategies as st
from residual_net import SmallRecipe

from minibp import Condition, Settings, build_network
from minibp.errors import InputError
from minibp.feedback import FeedbackRule
from minibp.network import Network
from minibp.ops.contract import ResidentFeed
from minibp.ops.cuda.arithmetic import DeviceScalar
from minibp.ops.cuda.compiled import CudaOps
from minibp.ops.cuda.feed import CudaFeed
from minibp.study.networks import NETWORKS, input_shape
from minibp.study.recipe import PaperRecipe
from minibp.training import preprocess
from minibp.training.data import Data
from minibp.training.feed import HostFeed, resident
from minibp.training.run import Run
from minibp.training.schedule import BatchSchedule

SPEED = Path(__file__).parents[2] / "docs" / "speed.md"
pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
gpus = pytest.mark.parametrize("name", ["cpp", pytest.param("cuda", marks=pytest.mark.cuda)])
HEADS = [
    "SGD", "BN+BM", "uSF+BM2", "NuSF+BN", "brSF-25+BN+BM", "brSF", "frSF-50+BN+BM3 Bottom",
    "frSF+BN Top", "RndF+BM", "brSF+BN Bottom",
]  # fmt: skip


def data_for(network, n=14):
    rng = np.random.default_rng(0)
    shape = {"mnist": (28, 28, 1), "cifar": (32, 32, 3), "timit": (1845,)}[network]
    X = rng.integers(0, 256, (n + 8, *shape)).astype("uint8")
    if network == "timit":
        X = rng.normal(size=X.shape)
    y = np.arange(n + 8) % 3
    return Data("toy", X[:n], y[:n], X[n:], y[n:], classes=3)


def a_run(
    head="frSF+BN+BM",
    device=None,
    network="mnist",
    epochs=3,
    batch=4,
    data=None,
    dtype="float32",
    **changes,
):
    chosen = Settings(bn_batches=2, init="he").replace(**changes)
    recipe = PaperRecipe(
        model=network,
        condition=Condition.parse(head),
        rate=1e-3,
        batches=BatchSchedule(batch),
        epochs=epochs,
        drops=(1,),
        dtype=dtype,
        settings=chosen,
    )
    return Run(recipe, data or data_for(network), device or CppDevice())


def finish(run):
    while not run.finished:
        run.advance()
    return run


def launch_by_launch(run):
    run.replay.reason = "not wanted"
    return run


def assert_same(a, b):
    """Bit by bit."""
    first, second = a.state()[0], b.state()[0]
    assert sorted(first) == sorted(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    for one, other in zip(a.network.weighted, b.network.weighted, strict=True):
        np.testing.assert_array_equal(a.device.to_host(one.V), b.device.to_host(other.V))
    rows = [[{**row, "seconds": 0} for row in run.history] for run in (a, b)]
    assert rows[0] == rows[1]
    assert a.network.updates == b.network.updates


@gpus
@pytest.mark.parametrize("head", HEADS)
def test_replayed_steps_are_the_launched_ones_to_the_bit(head, name):
    """Over a drop of the learning rate, with a smaller last batch."""
    replayed = finish(a_run(head, make_device(name)))
    assert replayed.launches == "one a step"
    assert_same(replayed, finish(launch_by_launch(a_run(head, make_device(name)))))


@gpus
@pytest.mark.parametrize("head", ["SGD", "frSF", "brSF-25", "RndF"])
def test_layers_inside_of_layers_are_replayed(head, name):
    rng, runs = np.random.default_rng(0), []
    X, y = rng.integers(0, 256, (34, 8, 8, 2)).astype("uint8"), np.arange(34) % 3
    data = Data("nested", X[:26], y[:26], X[26:], y[26:], classes=3)
    for device in (name, name, "plain"):
        recipe = SmallRecipe(
            head=head, rate=0.01, batches=BatchSchedule(8), epochs=3, dtype="float64"
        )
        runs.append(Run(recipe, data, make_device(device)))
    launch_by_launch(runs[1])
    replayed, launched, cpu = map(finish, runs)
    assert replayed.launches == "one a step"
    assert_same(replayed, launched)
    assert replayed.history[-1]["loss"] == pytest.approx(cpu.history[-1]["loss"], rel=1e-6)


@gpus
@pytest.mark.parametrize(("network", "head"), [("cifar", "frSF+BN+BM"), ("timit", "brSF-25")])
def test_other_networks_and_what_their_data_is_made_into(network, head, name):
    """In double precision: in single precision rounding flips signs of BM, on CPUs alone, too."""
    gpu, again, cpu = (
        a_run(head, make_device(device), network, 2, dtype="float64")
        for device in (name, name, "plain")
    )
    assert_same(finish(gpu), finish(launch_by_launch(again)))
    assert gpu.history[0]["loss"] == pytest.approx(finish(cpu).history[0]["loss"], rel=1e-7)


@gpus
@pytest.mark.parametrize("head", ["frSF+BN+BM", "brSF-25", "BN"])
def test_in_double_precision_it_is_the_cpus_run(head, name):
    """In single precision rounding flips signs of BM within some steps, on CPUs alone, too."""
    histories = [
        finish(a_run(head, make_device(each), dtype="float64")).history for each in ("plain", name)
    ]
    for cpu, gpu in zip(*histories, strict=True):
        assert gpu["loss"] == pytest.approx(cpu["loss"], rel=1e-7)
        assert gpu["error"] == cpu["error"]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_kernels_of_a_step_are_those_of_docs_speed(network):
    X, y = np.zeros((2, *input_shape(network)), np.uint8), np.array([0, 1])
    data, counts = Data("toy", X, y, X, y, classes=2), []
    for head in ("frSF", "frSF+BN"):
        run = a_run(head, network=network, data=data, batch=2, preprocess="mean")
        run.network.ops.launches.clear()
        run.launch_step(2)
        counts.append(run.network.ops.launches.total())
    section = SPEED.read_text(encoding="utf-8").partition("## A GPU")[2]
    assert "| {} | {} | {} |".format(network, *counts) in section


def test_each_size_is_launched_once_then_recorded_then_replayed():
    run = a_run(device=CppDevice())  # batches of 4, 4, 4, 2
    finish(run)
    assert run.device.replays == [3 * 3 - 1, 3 - 1]


def test_nothing_is_read_within_an_epoch_and_only_the_order_is_written():
    run = a_run()
    run.advance()
    run.device.transfers.clear()
    run.train_epoch(2)
    assert run.device.transfers == {"to device": 1, "to host": 1}


def test_a_step_is_told_of_its_rate_by_a_number_in_memory():
    """Replays do not see the host's numbers: a graph recorded before a drop must follow it."""
    run = a_run("SGD", epochs=2)
    run.advance()
    graphs = dict(run.replay._graphs)
    run.advance()
    assert run.replay._graphs.items() >= graphs.items()  # none was recorded anew
    assert run.device.to_host(run.network.ops.rate.array)[0] == pytest.approx(1e-4)


def test_a_V_by_hand_between_epochs_is_used_once_and_not_written_to():
    runs = [a_run("frSF"), launch_by_launch(a_run("frSF"))]
    for run in runs:
        run.advance()
        mine = run.device.asarray(np.ones(run.network.weighted[1].W.shape, "float32"))
        run.network.weighted[1].V = mine
        finish(run)
        assert (run.device.to_host(mine) == 1).all()
    assert_same(*runs)


def test_restored_while_graphs_are_there():
    run = a_run()
    run.advance()
    state = run.state()
    finish(run)
    again = a_run()
    finish(again)
    again.restore(*state)
    finish(again)
    assert_same(run, again)


class Doubled(FeedbackRule):
    replayable = True

    def V(self, W):
        return 2 * W


class Silent(FeedbackRule):
    def V(self, W):
        return 2 * W


class Counting(FeedbackRule):
    replayable, count = True, 0

    def V(self, W):
        if float(W.max()) > 0:  # a look at the device's numbers
            self.count += 1
        return W * self.count


class Redrawn(FeedbackRule):
    replayable, redraw = True, "batch"

    def draw(self, shape, rng):
        return {"R": rng.normal(shape)}

    def V(self, W, R):
        return R


def with_rule(rule, run):
    run.network.rule = rule
    run.network._draw()
    run.network.apply_rule()
    run.replay = type(run.replay)(run.network, run.optimizer, run.feeds["train"], run.launch_step)
    return run


def test_a_rule_of_a_users_that_says_so_is_replayed():
    replayed = finish(with_rule(Doubled(), a_run()))
    assert replayed.launches == "one a step"
    assert sum(replayed.device.replays) == 10
    assert_same(replayed, finish(launch_by_launch(with_rule(Doubled(), a_run()))))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (Silent, "rule Silent does not say replayable = True"),
        (Redrawn, "rule Redrawn draws on the host after each update"),
    ],
)
def test_other_rules_of_a_users_are_not(rule, reason):
    run = finish(with_rule(rule(), a_run()))
    assert run.launches == f"many a step: {reason}"
    assert run.device.replays == []


def test_a_parameter_in_pieces_is_not_replayed():
    """Its update would take the learning rate from the host."""
    run = a_run("SGD")
    layer = run.network.weighted[2]
    layer.W._array = np.asfortranarray(layer.W._array)
    finish(run)
    assert (
        run.launches == "many a step: Eq. 3 and V are not one pass: a parameter is not in one piece"
    )


def test_what_cannot_be_recorded_is_launched_with_the_reason(monkeypatch):
    """A recording that fails half-way leaves nothing behind."""
    from minibp.ops.cuda import compiled

    asked = []

    def looking(self, kernel, *rest, launch=compiled.CudaOps.launch):
        launch(self, kernel, *rest)
        if kernel == "update_and_refresh" and len(asked) > 12:
            self.device.to_host(rest[3])
        asked.append(kernel)

    expected = finish(a_run("frSF"))
    monkeypatch.setattr(compiled.CudaOps, "launch", looking)
    run = finish(a_run("frSF"))
    assert run.launches.startswith("many a step: StrictError: a copy to the host cannot")
    assert_same(run, expected)


def test_a_step_that_writes_its_own_number_is_not_replayed(monkeypatch):
    def careless(self, size, launch=Run.launch_step):
        launch(self, size)
        self.network.ops.step.set(self.network.ops.step.value + 5)

    monkeypatch.setattr(Run, "launch_step", careless)
    run = a_run("frSF", epochs=1)
    run.advance()
    assert "changed its learning rate or its number" in run.launches


@pytest.mark.parametrize("planted", ["the first V", "the place of the batch", "the rate"])
def test_the_stand_in_finds_what_a_replay_forgets(planted, monkeypatch):
    """The tester tested: each of these leaves launched steps as they are, and spoils replays."""
    expected = finish(a_run("brSF"))
    if planted == "the first V":
        expected = finish(a_run("frSF+BN+BM"))
        monkeypatch.setattr(Network, "place_feedback", lambda network: None)
    elif planted == "the rate":
        write = DeviceScalar.set

        def stale(self, value):
            real = str(self.array.dtype) == "float64"
            setattr(self, "value", value) if real and self.value else write(self, value)

        monkeypatch.setattr(DeviceScalar, "set", stale)
    else:
        tick = CudaFeed.tick

        def forgetful(self, E, size):
            kept, self.start = self.start, DeviceScalar(self.ops.device, "int32")
            tick(self, E, size)
            self.start = kept

        monkeypatch.setattr(CudaFeed, "tick", forgetful)
    with pytest.raises(AssertionError):
        assert_same(finish(a_run(str(expected.recipe.condition))), expected)


@pytest.mark.parametrize("head", ["frSF+BN", "brSF-25"])
def test_data_too_large_for_the_device_stays_on_the_host(head):
    run = finish(a_run(head, CppDevice(memory=1000)))
    assert isinstance(run.feeds["train"], HostFeed)
    assert run.launches == "many a step: the data takes too much of the GPU's memory"
    other = finish(a_run(head))
    assert isinstance(other.feeds["train"], ResidentFeed)
    for (name, a), b in zip(run.state()[0].items(), other.state()[0].values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


@settings(max_examples=25)
@given(
    kind=st.sampled_from(["mean", "standardize", "unit", "none", "gcn+zca"]),
    source=st.sampled_from(["uint8", "float64", "float32"]),
    dtype=st.sampled_from(["float32", "float64"]),
    n=st.integers(1, 9),
    data=st.data(),
)
def test_resident_samples_are_those_of_the_host(kind, source, dtype, n, data):
    rng = np.random.default_rng(n)
    X = rng.integers(0, 256, (n, 2, 3, 1)).astype(source)
    y, order = rng.integers(0, 3, n), rng.permutation(n)
    sizes = data.draw(st.lists(st.integers(1, n), min_size=1).filter(lambda s: sum(s) <= n))
    prepare, device = preprocess.fit(kind, X, dtype), CppDevice()
    host = HostFeed(device, X, y, prepare)
    on_device = resident(CudaOps(device), device, X, y, prepare, dtype)
    for chosen in (None, order):
        for one, other in zip(
            host.batches(sizes, chosen), on_device.batches(sizes, chosen), strict=True
        ):
            a, b, u, v = map(device.to_host, (one[0], other[0], one[1], other[1]))
            assert a.dtype == b.dtype == dtype
            np.testing.assert_array_equal(u, v)
            if kind == "gcn+zca":  # whose products depend on the batch in their last bits
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * (1 + abs(a).max()))
            else:
                np.testing.assert_array_equal(a, b)


def test_tf32_is_asked_of_the_library_and_recorded():
    from minibp.ops.tiers import ops_for

    for matmul, math in (("float32", 0), ("tf32", 3)):
        run = a_run(matmul=matmul)
        assert run.network.ops.blas.library.math == math
        assert ops_for(CppDevice(), matmul).blas.math == matmul


@pytest.mark.parametrize("name", ["plain", "compiled", "strict"])
def test_tf32_without_tensor_cores_is_an_error(name):
    with pytest.raises(InputError, match="matmul='tf32' is for the tensor cores of a GPU"):
        a_run(device=make_device(name), matmul="tf32")


def test_tf32_in_double_precision_is_an_error():
    with pytest.raises(InputError, match="tf32' is for float32, not for dtype 'float64'"):
        build_network(
            "mnist", 3, Condition(), CppDevice(), dtype="float64", settings=Settings(matmul="tf32")
        )
