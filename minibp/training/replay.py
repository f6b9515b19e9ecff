"""A training step as one launch: a GPU records it once, and does it again and again.

What a step needs to be told, the learning rate, its number and its batch's place, it reads from the
GPU's memory; what it writes is where the next step looks for it.
"""

from collections.abc import Callable
from typing import Any

from minibp.device import Array
from minibp.network import Network
from minibp.ops.contract import ResidentFeed
from minibp.optim import Optimizer


class Replay:
    """Does the steps of a run: of each batch size the first one launch by launch, which compiles
    the kernels, the second by recording it, all later ones by replaying that.

    feed    where the batches come from, and where a step reads its rate and its number
    launch  does all that is to be done on the device for a step of B samples

    `reason` says why steps are not replayed, if they are not.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        feed: ResidentFeed,
        launch: Callable[[int], None],
    ):
        self.network, self.optimizer, self.feed, self.launch = network, optimizer, feed, launch
        self.reason = why_not(network, optimizer)
        self._seen: set[int] = set()
        self._graphs: dict[int, Callable[[], None]] = {}
        self._places: list[Any] = []  # the arrays that the graphs know

    def begin(self) -> None:
        """Forget the graphs if arrays that they know are no longer the network's, as after a V by
        hand. To be called when anything else may have been at work."""
        if not _same(self._known(), self._places):
            self._seen, self._graphs = set(), {}
            self.reason = self.reason or why_not(self.network, self.optimizer)

    def end(self) -> None:
        """Do what the steps since `begin` left to the host, once for all of them."""
        self.network.place_feedback()

    def step(self, B: int) -> None:
        """Do a step on B samples, between `begin` and `end`."""
        network = self.network
        self.feed.tell(self.optimizer.rate, network.updates + 1)
        if B in self._seen and B not in self._graphs and not self.reason:
            self._record(B)
        if B in self._graphs:
            self._graphs[B]()
            network.updates += 1
        else:
            self._launch(B)
        self.feed.count(B)

    def _launch(self, B: int) -> None:
        before = self._arrays()
        if self._graphs:  # of other sizes, which know where the arrays are
            self._launch_in_place(B, before)
            self._restore_places(before)
        else:
            self.launch(B)
        self._seen.add(B)
        self._places = self._known()

    def _record(self, B: int) -> None:
        before, updates = self._arrays(), self.network.updates
        try:
            self._graphs[B] = self.network.device.record(lambda: self._on_the_device(B, before))
        except Exception as error:  # of whatever kind: nothing was done yet
            self.reason = f"{type(error).__name__}: {error}"
        finally:
            self.network.updates = updates
            self._restore_places(before)

    def _on_the_device(self, B: int, before: dict) -> None:
        """Do a step; raise RuntimeError if it took anything from the host, which a replay would
        take again as it was."""
        copies = self.network.device.transfers.total()
        self._launch_in_place(B, before)
        if self.network.device.transfers.total() != copies:
            raise RuntimeError("the step copies from the host or to it, as noise drawn there is")

    def _launch_in_place(self, B: int, before: dict) -> None:
        """Do a step, and copy what it made anew to where the next replay looks for it."""
        told = self.feed.told
        self.launch(B)
        if self.feed.told != told:
            raise RuntimeError("the step itself changed its learning rate or its number")
        for key, array in self._arrays().items():
            if array is not before[key]:
                before[key][...] = array

    def _arrays(self) -> dict[tuple[str, Any], Array]:
        """Return what a step may bind to other arrays: every V in use, and what momentum keeps."""
        network = self.network
        layers = [layer for layer in network.weighted if layer not in network.unused]
        arrays: dict[tuple[str, Any], Array] = {("V", layer): layer.V for layer in layers}
        for path, state in network.state.items():
            arrays |= {("state", (path, name)): array for name, array in state.items()}
        for key, state in self.optimizer.states.items():
            arrays |= {("plug-in", (key, name)): array for name, array in state.items()}
        return arrays | {("memory", key): m for key, m in self.optimizer.memory.items()}

    def _known(self) -> list[Any]:
        """Return the arrays whose places must not change between replays."""
        network = self.network
        fixed = network.parameters().values()
        drawn = [array for arrays in network.drawn.values() for array in arrays.values()]
        return [*self._arrays().values(), *fixed, *drawn]

    def _restore_places(self, arrays: dict[tuple[str, Any], Array]) -> None:
        for (kind, key), array in arrays.items():
            if kind == "memory":
                self.optimizer.memory[key] = array
            elif kind == "state":
                self.network.state[key[0]][key[1]] = array
            elif kind == "plug-in":
                self.optimizer.states[key[0]][key[1]] = array
            elif key.V is not array:
                key.V = array


def why_not(network: Network, optimizer: Optimizer) -> str:
    """Return why a network's steps cannot be replayed, or "" if they can.

    A replay repeats only what the device did. `Replay` does the host's part itself; where it
    cannot, steps are launched one by one. A rule is replayed if it says `replayable = True`, which
    promises that V depends on the arguments of its `V` alone; a plug-in likewise.
    """
    rule = network.rule
    if not network.device.records:
        return f"device {network.device.name!r} does not record"
    if type(optimizer).step is not Optimizer.step or type(network) is not Network:
        return "the optimizer or the network is of a class of its own"
    if rule is not None and rule.redraw == "batch" and not network.formulas():
        return f"rule {type(rule).__name__} draws on the host after each update"
    if optimizer.projects:
        return "a plug-in changes parameters after their update"
    if not (network.fused and optimizer.by_kernels):  # the rate would be the host's
        return "Eq. 3 and V are not one pass: a parameter is not in one piece"
    for plugin in optimizer.plugins:
        if not plugin.replayable:
            return f"update {type(plugin).__name__} does not say replayable = True"
    if rule is not None and not rule.replayable:
        return f"rule {type(rule).__name__} does not say replayable = True"
    return ""


def _same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
