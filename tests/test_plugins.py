"""Plug-ins of Eq. 3: against their formulas, in conditions, and resumed to the bit."""

import numpy as np
import pytest
from conftest import make_device

from minibp import Condition, PaperRecipe, Run, Settings, build_network, build_optimizer, train_step
from minibp.errors import InputError
from minibp.layers import Linear
from minibp.optim import Optimizer, Slot
from minibp.plugins import Plugin, get_plugin, new_plugin
from minibp.training.data import Data
from minibp.training.schedule import BatchSchedule

HEADS = ("Muon", "BN+Frobenius", "RndF+BN+Muon", "KP+BN+Adam", "NSC+WN", "frSF+BM+NSC Bottom")


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    X = (rng.integers(0, 100, (30, 28, 28, 1)) + 70 * y[:, None, None, None]).astype("uint8")
    return Data("toy", X[:24], y[:24], X[24:], y[24:], classes=3)


def run_of(head, toy, kernels):
    given = {"condition": Condition.parse(head), "rate": 5e-4, "epochs": 2}
    settings = Settings(bn_batches=2)
    recipe = PaperRecipe(model="mnist", batches=BatchSchedule(12), settings=settings, **given)
    return Run(recipe, toy, make_device(kernels))


@pytest.mark.parametrize(
    "kernels", ["plain", "compiled", pytest.param("cpp", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("head", HEADS)
def test_it_resumes_to_the_same_bits(head, kernels, toy):
    run, again = run_of(head, toy, kernels), run_of(head, toy, kernels)
    run.advance()
    arrays, meta = run.state()
    kept = {name: array.copy() for name, array in arrays.items()}
    run.advance()
    again.restore(kept, meta)
    again.advance()
    (a, _), (b, _) = run.state(), again.state()
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 2, 3, 4)])
def test_muon_is_about_the_polar_factor(shape):
    g = np.random.default_rng(0).normal(size=shape)
    made = Muon = new_plugin("Muon").direction(g, g, {})
    U, _, Vt = np.linalg.svd(g.reshape(-1, shape[-1]), full_matrices=False)
    polar, scale = U @ Vt, max(1, g.size / shape[-1] / shape[-1]) ** 0.5
    singular = np.linalg.svd(Muon.reshape(-1, shape[-1]) / scale, compute_uv=False)
    assert ((singular > 0.6) & (singular < 1.3)).all()
    cosine = (
        (made.reshape(polar.shape) * polar).sum() / np.linalg.norm(made) / np.linalg.norm(polar)
    )
    assert cosine > 0.95


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (9, 40)])
def test_muon_by_way_of_the_samples_is_muon(shape):
    """Of X that nearly repeats itself, as images do, in single precision, too."""
    (I, J), rng = shape, np.random.default_rng(0)
    X, dN = rng.normal(size=(8, I)) + 5, rng.normal(size=(8, J))
    w, muon = np.zeros(shape), new_plugin("Muon")
    expected = muon.direction(X.T @ dN, w, {})
    np.testing.assert_allclose(muon.direction_of_product(X, dN, w, {}), expected, atol=1e-9)
    single = muon.direction_of_product(X.astype("f"), dN.astype("f"), w.astype("f"), {})
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-4)
    assert not muon.direction_of_product(X, 0 * dN, w, {}).any()  # and no NaN
    assert muon.direction_of_product(X, dN, np.zeros((8, J)), {}) is None  # nothing is gained
    assert new_plugin("Adam").direction_of_product(X, dN, w, {}) is None


@pytest.mark.parametrize("kernels", ["plain", "compiled"])
def test_an_edited_gradient_is_what_counts_by_hand(kernels, rng):
    """Only train_step knows that nobody has touched dW."""

    def two_layers(net, classes):
        net.fc(30)
        net.output(classes)

    given, moved = (two_layers, 10), []
    for sign in (1, -1):
        head, device = Condition.parse("Muon"), make_device(kernels)
        net = build_network(*given, head, device, shape=(40,))
        optimizer = build_optimizer(net, head, 0.1)
        before = net.weighted[0].W.copy()
        X = np.random.default_rng(0).normal(size=(6, 40)).astype("f")
        _, dN = net.loss(net.forward(X, train=True), np.arange(6))
        net.backward(dN)
        net.weighted[0].grads["W"] *= sign
        optimizer.step()
        moved.append(net.weighted[0].W - before)
    assert (np.sign(moved[0]) == -np.sign(moved[1])).mean() > 0.95  # but for weight decay


def test_a_users_layer_may_change_its_gradient():
    class Halved(Linear):
        def backward(self, dN, *, need_dX=True):
            dX = super().backward(dN, need_dX=need_dX)
            self.grads["W"] = self.grads["W"] * 0
            return dX

    rng = np.random.default_rng(0)
    layer = Halved(rng.normal(size=(40, 30)))
    optimizer = Optimizer([Slot(layer, "W")], 0.1, 0.9, [new_plugin("Muon")])
    layer.forward(rng.normal(size=(6, 40)), train=True)
    layer.backward(rng.normal(size=(6, 30)))
    before = layer.W.copy()
    optimizer.step(fresh=True)
    np.testing.assert_array_equal(layer.W, before)


def test_frobenius_has_a_root_mean_square_of_one():
    g = np.random.default_rng(0).normal(size=(3, 4, 2)) * 1e-9
    made = new_plugin("Frobenius").direction(g, g, {})
    assert (made * made).mean() == pytest.approx(1)
    np.testing.assert_allclose(made / made[0, 0, 0], g / g[0, 0, 0])
    assert not new_plugin("Frobenius").direction(0 * g, g, {}).any()  # and no NaN


def test_adam_by_the_formula():
    rng, adam, state = np.random.default_rng(0), new_plugin("Adam"), {}
    m = v = 0
    for t in range(1, 6):
        g = rng.normal(size=(2, 3))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        expected = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(adam.direction(g, g, state), expected, rtol=1e-12)


@pytest.mark.parametrize("kernels", ["plain", "compiled"])
def test_projections_hold_after_every_update(kernels):
    head = Condition.parse("NSC+WN")
    net = build_network("timit", 5, head, make_device(kernels), 0)
    net.fuse()
    optimizer = build_optimizer(net, head, rate=0.1)
    first = [layer.W.copy() for layer in net.weighted]
    rng = np.random.default_rng(0)
    for _ in range(5):
        X = rng.normal(size=(8, 1845)).astype("float32")
        train_step(net, optimizer, X, rng.integers(0, 5, 8))
        for layer, W in zip(net.weighted, first, strict=True):
            assert (np.sign(layer.W) * np.sign(W) >= 0).all()
            norms = [np.sqrt((A.astype(float) ** 2).sum(axis=0)) for A in (layer.W, W)]
            np.testing.assert_allclose(*norms, rtol=1e-4)


def test_the_update_is_part_of_a_conditions_name():
    for head in ("RndF+BN+Muon", "Muon", "frSF-25+BM2+NSC+WN Top", "Muon(steps=3)+WN"):
        assert str(Condition.parse(head)) == head
    condition = Condition.parse("BN+Muon(steps=3)")
    assert condition.updates == ("Muon(steps=3)",)
    assert condition.plugins()[0].steps == 3
    assert Condition.parse("SGD+Muon") == Condition.parse("Muon")


CODE = """from minibp.plugins import Plugin

class Clipped(Plugin):
    most = 1e-3
    parameters = ("most",)

    def direction(self, g, w, state):
        return g.clip(-self.most, self.most)

class Wide(Plugin):
    def direction(self, g, w, state):
        return g[..., :1]
"""


def test_a_users_plug_in(tmp_path, toy):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    head = f"RndF+BN+{path}:Clipped(most=0.01)+WN"
    condition = Condition.parse(head)
    assert condition.updates == (f"{path}:Clipped(most=0.01)", "WN")
    assert str(condition) == head
    assert list(condition.files) == [str(path)]
    assert run_of(head, toy, "compiled").advance()["error"] <= 100
    with pytest.raises(InputError, match=r"conv1/W: direction returned .*expected"):
        run_of(f"{path}:Wide", toy, "plain").advance()


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("Moun", "unknown update 'Moun'; did you mean 'Muon'"),
        ("Muon(step=3)", "no parameter 'step': it has steps"),
        ("none.py:R", "no file"),
    ],
)
def test_what_there_is_not(name, match):
    with pytest.raises(InputError, match=match):
        get_plugin(name)
    with pytest.raises(InputError, match=match):
        Condition(updates=(name,))


def test_a_text_is_not_several_names():
    with pytest.raises(InputError, match="several names"):
        Condition(updates="Muon")


def test_without_plug_ins_nothing_is_kept():
    net = build_network("timit", 5, Condition(), make_device("plain"), 0)
    optimizer = build_optimizer(net, Condition(), rate=0.1)
    assert (optimizer.plugins, optimizer.states, optimizer.projects) == ((), {}, False)
    assert not Plugin.projects()
