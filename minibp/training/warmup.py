"""Compiling the kernels that a run needs: seconds on a machine's first run, later none."""

from collections.abc import Callable

import numpy as np

from minibp.device import Device
from minibp.network import Network
from minibp.ops import plain
from minibp.optim import build_optimizer
from minibp.study.networks import build_network, input_shape
from minibp.training.run import Plan, estimate_moments, step

BATCH = 2


def compile_kernels(plan: Plan, device: Device, notice: Callable[[], None]) -> None:
    """Have each kernel of a run compiled, or loaded from the disk, by a step on random numbers.

    `notice` is called first if they are not on the disk yet. Nothing is done on the plain tier.
    """
    net = build_network(
        plan.network, 2, plan.condition, device, 0, plan.dtype, settings=plan.settings
    )
    if net.ops is plain:
        return
    if not device.blocking:  # a GPU's are compiled in a second
        return _step(net, plan, device)
    from numba.core import event

    class Once(event.Listener):
        """Gives notice of the first compilation; loading a kernel from the disk is none."""

        given = False

        def on_start(self, _: object) -> None:
            if not self.given:
                self.given = True
                notice()

        def on_end(self, _: object) -> None:
            pass

    with event.install_listener("numba:compile", Once()):
        _step(net, plan, device)


def _step(net: Network, plan: Plan, device: Device) -> None:
    net.fuse()
    shape = (BATCH, *input_shape(plan.network))
    X = device.asarray(np.arange(np.prod(shape)).reshape(shape) % 7, plan.dtype)
    optimizer = build_optimizer(net, plan.condition, rate=0.0, settings=plan.settings)
    step(net, optimizer, X, device.asarray(np.arange(BATCH)))
    estimate_moments(net, iter([X]))
    net.forward(X, train=False)
