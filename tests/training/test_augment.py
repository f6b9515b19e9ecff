"""Random crops and mirror images, by their definition, on the host and on a device, and in runs."""

import dataclasses

import numpy as np
import pytest
from conftest import make_device
from hypothesis import given
from hypothesis import strategies as st
from minibp_datasets import registry

from minibp import Condition, PaperRecipe, Run, Settings
from minibp.errors import InputError
from minibp.ops.cuda.compiled import CudaOps
from minibp.rng import Streams
from minibp.training import checkpoint, preprocess
from minibp.training.augment import Augment
from minibp.training.feed import HostFeed, resident

MOVED = {"augmentation": "crop+flip", "crop_padding": 2, "bn_batches": 2}


def by_definition(X, moves, p):
    out = np.zeros_like(X)
    _, H, W, _ = X.shape
    for b, (down, right, mirrored) in enumerate(moves):
        for y in range(H):
            for x in range(W):
                v, u = y + down - p, (W - 1 - x if mirrored else x) + right - p
                if 0 <= v < H and 0 <= u < W:
                    out[b, y, x] = X[b, v, u]
    return out


@given(p=st.integers(0, 4), flip=st.booleans(), n=st.integers(1, 6), seed=st.integers(0, 99))
def test_it_is_the_definition(p, flip, n, seed):
    X = np.random.default_rng(seed).integers(1, 256, (n, 3, 5, 2)).astype("uint8")
    augment = Augment(p, flip)
    moves = augment.draw(Streams(seed)["augment/shuffle"].at(1), n)
    assert 0 <= moves[:, :2].min() <= moves[:, :2].max() <= 2 * p
    assert flip or not moves[:, 2].any()
    np.testing.assert_array_equal(augment(X, moves), by_definition(X, moves, p))


def test_all_places_and_both_sides_occur():
    moves = Augment(2, True).draw(Streams(0)["augment/shuffle"].at(1), 1000)
    for column, values in ((0, 5), (1, 5), (2, 2)):
        counts = np.bincount(moves[:, column], minlength=values)
        assert len(counts) == values
        assert counts.min() > 0.7 * 1000 / values


@given(
    kind=st.sampled_from(["mean", "channels", "unit", "none"]),
    source=st.sampled_from(["uint8", "float32"]),
    n=st.integers(1, 9),
)
def test_a_devices_samples_are_those_of_the_host(kind, source, n):
    rng, device = np.random.default_rng(n), make_device("cpp")
    X, order = rng.integers(0, 256, (n, 4, 3, 2)).astype(source), rng.permutation(n)
    augment, prepare = Augment(2, True), preprocess.fit(kind, X, "float32")
    moves = augment.draw(Streams(n)["augment/shuffle"].at(1), n)
    host = HostFeed(device, X, order, prepare, augment)
    there = resident(CudaOps(device), device, X, order, prepare, "float32", augment)
    sizes = [n // 2, n - n // 2] if n > 1 else [1]
    batches = (feed.batches(sizes, order, moves) for feed in (host, there))
    for (a, u), (b, v) in zip(*batches, strict=True):
        np.testing.assert_array_equal(*map(device.to_host, (u, v)))
        np.testing.assert_allclose(*map(device.to_host, (a, b)), rtol=1e-6, atol=1e-5)
    for _, (a, b) in enumerate(zip(host.batches(sizes), there.batches(sizes), strict=True)):
        np.testing.assert_allclose(*map(device.to_host, (a[0], b[0])), rtol=1e-6, atol=1e-5)


def a_run(kernels="plain", head="frSF+BN", **settings):
    recipe = PaperRecipe(
        rate=1e-3,
        model="mnist",
        condition=Condition.parse(head),
        epochs=3,
        settings=Settings(**(MOVED | settings)),
    )
    recipe = dataclasses.replace(recipe, batches=dataclasses.replace(recipe.batches, size=10))
    return Run(recipe, registry.load(DATA), make_device(kernels))


DATA = "synthetic:mnist,classes=3,train=40,test=20"


def finish(run):
    while not run.finished:
        run.advance()
    return run


@pytest.mark.parametrize("kernels", ["plain", "compiled", "cpp"])
def test_a_run_resumes_to_the_same_bits_with_all_of_the_fields_recipe(kernels, tmp_path):
    given = {"schedule": "cosine", "warmup": 1, "smoothing": 0.1, "preprocess": "channels"}
    whole, first = finish(a_run(kernels, **given)), a_run(kernels, **given)
    first.advance()
    checkpoint.save(tmp_path / "checkpoint.h5", *first.state())
    second = a_run(kernels, **given)
    second.restore(*checkpoint.load(tmp_path / "checkpoint.h5"))
    (a, _), (b, _) = whole.state(), finish(second).state()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert kernels != "cpp" or whole.launches == "one a step"


def test_each_epoch_moves_anew_and_the_test_set_stays():
    run = a_run()
    first, second = (run.batches_of("shuffle", epoch)[2] for epoch in (1, 2))
    assert (first != second).any()
    np.testing.assert_array_equal(first, run.batches_of("shuffle", 1)[2])
    assert (first != run.batches_of("moments", 1)[2]).any()
    plain = a_run(augmentation="none")
    assert plain.batches_of("shuffle", 1)[2] is None
    for (a, _), (b, _) in zip(
        run.feeds["test"].batches([20]), plain.feeds["test"].batches([20]), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_it_makes_another_run():
    losses = {kind: finish(a_run(augmentation=kind)).history for kind in ("none", "crop", "flip")}
    assert len({rows[-1]["loss"] for rows in losses.values()}) == 3


def test_whitened_images_are_moved_before():
    device = make_device("cpp")
    recipe = PaperRecipe(
        rate=1e-3, model="mnist", condition=Condition(), settings=Settings(**MOVED)
    )
    recipe = dataclasses.replace(recipe, settings=recipe.settings.replace(preprocess="gcn+zca"))
    run = Run(recipe, registry.load(DATA), device)
    assert isinstance(run.feeds["train"], HostFeed)


def test_vectors_cannot_be_moved():
    with pytest.raises(InputError, match=r"augmentation 'flip' is for images \(H, W, C\)"):
        Augment.of("flip", 4, (1845,))
    with pytest.raises(InputError, match="crop_padding=0"):
        Settings(crop_padding=0)
