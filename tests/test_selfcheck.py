"""The self-check is checked: it meets all that a training runs, and finds errors planted there."""

import numpy as np
import pytest
from conftest import make_device

from minibp import selfcheck
from minibp.layers import AvgPool2D, MaxPool2D
from minibp.ops.tiers import ops_for
from minibp.ops.window import output_size

tiers = pytest.mark.parametrize("kernels", ["plain", "compiled", "cpp"])
fused_tiers = pytest.mark.parametrize("kernels", ["compiled", "cpp"])


def passes(kernels, capsys):
    """Return whether a device passes, and what was said."""
    passed = selfcheck.check(make_device(kernels), [], verbose=False)
    return passed, capsys.readouterr().out


@tiers
def test_a_device_passes_and_fused_blocks_are_among_the_checks(kernels, capsys):
    passed, out = passes(kernels, capsys)
    assert passed, out
    assert ("blocks, frSF+BN" in out) == (kernels != "plain")


def clipped_sides(shape, window, stride, padding):
    """Return at which sides (top, bottom, left, right) of an image a window is clipped."""
    sides = []
    for axis, out in enumerate(output_size(*shape[1:3], window, stride, padding)):
        last = (out - 1) * stride - padding[2 * axis] + window[axis]
        sides += [padding[2 * axis] > 0, last > shape[1 + axis]]
    return sides


def test_windows_are_clipped_at_every_side():
    titles = [title for title, *_ in selfcheck.layer_cases() if "clipped" in title]
    assert len(titles) == 2
    for title, layer, (X,) in selfcheck.layer_cases():
        if "clipped" in title:
            assert all(clipped_sides(X.shape, layer.window, layer.stride, layer.padding))
        if "padded" in title or "5x5" in title or "7x7" in title:
            kernel = layer.W.shape[:2]
            assert all(clipped_sides(X.shape, kernel, layer.stride, layer.padding))


def test_the_windows_of_the_fused_blocks_are_clipped_at_every_side():
    net = selfcheck.all_blocks(selfcheck.Condition.parse("BN"), make_device("plain"))
    X = np.ones((2, *net.input_shape))
    pools = 0
    for layer in net.layers:
        if isinstance(layer, MaxPool2D | AvgPool2D):
            assert all(clipped_sides(X.shape, layer.window, layer.stride, layer.padding))
            pools += 1
        X = layer.forward(X, train=True)
    assert pools == 2


@tiers
@pytest.mark.parametrize("name", ["max_pool_dX", "avg_pool_dX"])
@pytest.mark.parametrize("side", range(4))
def test_an_error_in_clipped_windows_only_is_found(name, side, kernels, capsys, monkeypatch):
    owner = type(ops_for(make_device(kernels)))
    right = getattr(owner, name)

    def wrong(*arguments):
        """One side's clipped windows give back half a percent more."""
        *self, dY = arguments[: 1 if kernels == "plain" else 2]
        rest = arguments[len(self) + 1 :]
        shape, window, stride, padding = rest[-4:]
        dY = dY.copy()
        if clipped_sides(shape, window, stride, padding)[side]:
            edge = (-1 if side % 2 else 0,)
            place = (slice(None),) * (1 + side // 2) + edge
            dY[place] = dY[place] * 1.005
        return right(*self, dY, *rest)

    monkeypatch.setattr(owner, name, staticmethod(wrong) if kernels == "plain" else wrong)
    cases = [case for case in selfcheck.layer_cases(make_device(kernels)) if "clipped" in case[0]]
    device = make_device(kernels)
    monkeypatch.setattr(selfcheck, "layer_cases", lambda _: cases)
    monkeypatch.setattr(selfcheck, "rule_cases", lambda *_: [])  # they have clipped windows, too
    monkeypatch.setattr(selfcheck, "fused_cases", lambda *_: [])
    passed = selfcheck.check(device, [], verbose=False)
    out = capsys.readouterr().out
    assert not passed
    assert ("Max" if name == "max_pool_dX" else "Avg") + "Pool2D 3x3/2, clipped" in out
    assert out.count("FAILED\n") == 1


def plant(monkeypatch, owner, name, spoil):
    """Have a function of a class return what `spoil` makes of its result."""
    right = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **options: spoil(list(right(*args, **options))))


def fused_only(monkeypatch, head=None):
    """Leave out all but the fused blocks."""
    monkeypatch.setattr(selfcheck, "layer_cases", lambda *_: [])
    monkeypatch.setattr(selfcheck, "network_cases", lambda *_: [])
    if head:
        monkeypatch.setattr(selfcheck, "FUSED_HEADS", (head,))


def blocks(kernels):
    """Return the classes of a tier's blocks: of a convolution, and of a fully connected layer."""
    if kernels == "cpp":
        from minibp.ops.cuda.block import CudaBlock

        return {"conv": CudaBlock, "dense": CudaBlock}
    pytest.importorskip("numba")
    from minibp.ops.cpu.block import ConvBlock
    from minibp.ops.cpu.dense import DenseBlock

    return {"conv": ConvBlock, "dense": DenseBlock}


RESULTS = {"dX": 0, "dW": 1, "db": 2, "dscale": 3, "dshift": 4}


@fused_tiers
@pytest.mark.parametrize(
    ("kind", "result"),
    [("conv", "dX"), ("conv", "dscale"), ("dense", "dW")]
    + [pytest.param("conv", result, marks=pytest.mark.slow) for result in ("dW", "db", "dshift")]
    + [
        pytest.param("dense", result, marks=pytest.mark.slow)
        for result in ("dX", "db", "dscale", "dshift")
    ],
)
def test_an_error_in_the_backward_of_a_block_is_found(result, kind, kernels, capsys, monkeypatch):
    owner, at = blocks(kernels)[kind], RESULTS[result]

    def spoil(results):
        if results[at] is not None:
            results[at] = results[at] * (1 + 1e-7)
        return results

    plant(monkeypatch, owner, "backward", spoil)
    fused_only(monkeypatch, "brSF-25" if result == "db" else "BN")
    passed, out = passes(kernels, capsys)
    assert not passed
    assert "FAILED" in out


@fused_tiers
@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_an_error_in_the_forward_of_a_block_is_found(kind, kernels, capsys, monkeypatch):
    def spoil(results):
        results[0] = results[0] * (1 + 1e-7)
        return results

    plant(monkeypatch, blocks(kernels)[kind], "forward", spoil)
    fused_only(monkeypatch)
    assert not passes(kernels, capsys)[0]


@fused_tiers
@pytest.mark.parametrize("what", ["W where V belongs", "a V that stays", "no decay"])
def test_an_error_between_blocks_is_found(what, kernels, capsys, monkeypatch):
    from minibp.fused import Block
    from minibp.ops.update import Update

    if what == "W where V belongs":
        right = Block.backward

        def wrong(self, dY, *, need_dX=True):
            self.weighted.V = self.weighted.W
            return right(self, dY, need_dX=need_dX)

        monkeypatch.setattr(Block, "backward", wrong)
    else:
        right, changed = Update.__init__, {"feedback": None} if "V" in what else {"d": 0.0}

        def wrong(self, *args, **options):
            right(self, *args, **options)
            for name, value in changed.items():
                object.__setattr__(self, name, value)

        monkeypatch.setattr(Update, "__init__", wrong)
    fused_only(monkeypatch, "brSF-25")
    assert not passes(kernels, capsys)[0]
