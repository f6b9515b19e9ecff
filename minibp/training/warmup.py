"""A rehearsal before a run: one step on made-up numbers.

It compiles the kernels that the run needs: seconds on a machine's first run, later none. And it
finds what does not fit, before there is anything to lose.
"""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np

from minibp import usercode
from minibp.device import Device
from minibp.errors import InputError, listed
from minibp.network import Network
from minibp.optim import Optimizer
from minibp.training.data import Data
from minibp.training.recipe import Recipe
from minibp.training.run import estimate_moments, train_step

BATCH = 2


def rehearse(recipe: Recipe, data: Data, device: Device, notice: Callable[[], None]) -> None:
    """Do a step of a recipe on made-up numbers of the data's shape.

    `notice` is called first if kernels have to be compiled that are not on the disk yet. Raises
    InputError for a network that does not give an output for each class, and for a user's code
    that fails, gives something else than it should, or another network each time.
    """
    shape, whose = data.X_train.shape[1:], f"recipe {recipe.name}"
    own = usercode.file_of(type(recipe)) is not None
    with usercode.named(whose) if own else contextlib.nullcontext():
        net = recipe.network(device, shape, data.classes)
        if own:
            _check_prepared(whose, recipe, data)
    _check_kind(f"{whose}: network()", net, Network)
    if recipe.files:
        _check_pure(whose, net, recipe.network(device, shape, data.classes))
    net.fuse()
    numbers = np.arange(BATCH * np.prod(shape)).reshape(BATCH, *shape) % 7
    X = device.asarray(numbers, recipe.dtype)
    labels = device.asarray(np.arange(BATCH) % data.classes)
    with _noticing(notice) if device.blocking and net.ops.compiled else contextlib.nullcontext():
        N = net.forward(X, train=True)
        if N.shape != (BATCH, data.classes):
            raise InputError(
                f"{recipe.name}: the network gives outputs {N.shape} for {BATCH} samples of "
                f"{data.classes} classes: expected {(BATCH, data.classes)}."
            )
        with usercode.named(whose) if own else contextlib.nullcontext():
            optimizer = dataclasses.replace(recipe, rate=0.0).optimizer(net)
        _check_kind(f"{whose}: optimizer()", optimizer, Optimizer)
        train_step(net, optimizer, X, labels)
        estimate_moments(net, iter([X]))
        net.forward(X, train=False)


def _check_kind(what: str, made: object, kind: type) -> None:
    if not isinstance(made, kind):
        raise InputError(f"{what} gives a {type(made).__name__}: expected a {kind.__name__}.")


def _check_pure(whose: str, net: Network, again: Network) -> None:
    """Raise InputError unless two networks are alike to the bit, and share no array: each run
    begins anew, and so does one that is resumed."""
    to_host, xp = net.device.to_host, net.device.xp
    one, two = net.parameters(), again.parameters()
    same = one.keys() == two.keys() and all(
        one[key].shape == two[key].shape and (to_host(one[key]) == to_host(two[key])).all()
        for key in one
    )
    if not same:
        raise InputError(
            f"{whose}: the network is another each time it is made: draw its weights from the "
            "builder, or from its streams, not from NumPy's random numbers."
        )
    shared = [key for key in one if xp.may_share_memory(one[key], two[key])]
    if shared:
        raise InputError(
            f"{whose}: {listed(shared)} is one array whenever the network is made, so that a run "
            "would begin with what another has learned: make it within the function."
        )


def _check_prepared(whose: str, recipe: Recipe, data: Data) -> None:
    """Raise InputError unless samples are prepared to inputs of their shape and the dtype."""
    prepare = recipe.prepare(data)
    X = prepare(data.X_train[:BATCH]) if callable(prepare) else prepare
    expected = (min(BATCH, len(data.X_train)), *data.X_train.shape[1:])
    if not isinstance(X, np.ndarray) or X.shape != expected or X.dtype != recipe.dtype:
        given = f"{X.shape} {X.dtype}" if isinstance(X, np.ndarray) else type(X).__name__
        raise InputError(
            f"{whose}: prepare(data) makes {given} of {expected[0]} samples: expected a function "
            f"that returns {expected} {recipe.dtype}."
        )


@contextlib.contextmanager
def _noticing(notice: Callable[[], None]):
    """Call `notice` at Numba's first compilation within the block; to load a kernel is none."""
    from numba.core import event

    class Once(event.Listener):
        given = False

        def on_start(self, _: object) -> None:
            if not self.given:
                self.given = True
                notice()

        def on_end(self, _: object) -> None:
            pass

    with event.install_listener("numba:compile", Once()):
        yield
