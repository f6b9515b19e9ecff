"""A rehearsal before a run: one step on made-up numbers.

It compiles the kernels that the run needs: seconds on a machine's first run, later none. And it
finds what does not fit, before there is anything to lose.
"""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np

from minibp.device import Device
from minibp.errors import InputError
from minibp.training.data import Data
from minibp.training.recipe import Recipe
from minibp.training.run import estimate_moments, train_step

BATCH = 2


def rehearse(recipe: Recipe, data: Data, device: Device, notice: Callable[[], None]) -> None:
    """Do a step of a recipe on made-up numbers of the data's shape.

    `notice` is called first if kernels have to be compiled that are not on the disk yet. Raises
    InputError for a network that does not give an output for each class.
    """
    shape = data.X_train.shape[1:]
    net = recipe.network(device, shape, data.classes)
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
        train_step(net, dataclasses.replace(recipe, rate=0.0).optimizer(net), X, labels)
        estimate_moments(net, iter([X]))
        net.forward(X, train=False)


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
