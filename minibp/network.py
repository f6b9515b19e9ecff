"""A network: layers in order, and the feedback rule that joins each W to its V."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from minibp import guard
from minibp.device import Array, Device, get_device
from minibp.errors import InputError
from minibp.feedback import FeedbackRule, Synapses, check_attributes
from minibp.fused import Apart, Joining
from minibp.layers import BatchNorm, Layer, Residual, Sequential, WeightedLayer
from minibp.layers.base import Unit
from minibp.layers.trace import Trace
from minibp.layers.tree import check_tree, walk
from minibp.losses import Loss, softmax_cross_entropy
from minibp.ops.sign import sign
from minibp.ops.tiers import ops_for
from minibp.ops.update import FROZEN, KEEP, Feedback, Formula, Update
from minibp.optim import Optimizer
from minibp.rng import Stream, Streams


class Network:
    """Layers applied one after the other.

    layers       Layer objects with distinct names; they may hold layers (`children`)
    rule         how V follows from W; None leaves every V as it is, and that is W at first
    streams      the random numbers that the rule draws from, by layer's path and step
    input_shape  shape of one input, such as (28, 28, 1), if inputs are to be checked
    condition    how it learns, for `repr`
    symmetric    paths of layers that keep V = W whatever the rule
    matmul       "float32", or "tf32": see minibp.study.settings
    loss         (N, labels, ops) → E and dN, as minibp.losses has them

    Raises InputError for layers of one name, a layer used twice, parameters in layers that no
    `children()` gives, and a rule that is not pure, or whose first V is no array of W's shape, or
    not finite.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        rule: FeedbackRule | None = None,
        streams: Streams | None = None,
        condition: object = "",
        device: Device | None = None,
        input_shape: tuple[int, ...] | None = None,
        symmetric: tuple[str, ...] = (),
        matmul: str = "float32",
        loss: Loss = softmax_cross_entropy,
    ):
        check_tree(layers)
        self.body = Sequential(layers, "network")
        self.fused = False
        self.rule, self.loss = rule, loss
        self.streams = streams or Streams(seed=0)
        self.condition = condition
        self.device = device or get_device("cpu", kernels="plain")
        self.ops = ops_for(self.device, matmul)
        self._joining = Joining(self.ops)
        for path, layer in self.walk():
            layer.path, layer.ops = path, self.ops
        self.weighted = [layer for _, layer in self.walk() if isinstance(layer, WeightedLayer)]
        self.unused = self._unused()  # layers whose V no backward uses
        self.input_shape = input_shape
        self.symmetric = symmetric
        self.updates = 0  # of W so far: the step of the feedback streams
        self.drawn: dict[str, dict[str, Array]] = {}  # M, S by layer's path
        self.made_V: dict[str, Array] = {}  # what the rule made, whatever V is by hand
        self.state: dict[str, dict[str, Array]] = {}  # of a V that learns, by layer's path
        self.read: set[str] = set()  # what it was made from: see Synapses
        self.afar = rule is not None and rule.error != "own"
        if rule is not None:
            check_attributes(rule)
            if self.afar:
                self._measure()
            self._draw()
            self.apply_rule()
            for layer in self.weighted:
                if layer.path in self.made_V:
                    V, shape = self.made_V[layer.path], layer.V_shape
                    guard.check_start(rule, layer.path, layer.W, V, self._stream(layer.path), shape)

    @property
    def layers(self) -> list[Layer]:
        """The layers at the top, in order."""
        return self.body.layers

    @property
    def units(self) -> list[Unit]:
        """What runs one after the other at the top: see `fuse`."""
        return self.body.units

    def walk(self) -> Iterator[tuple[str, Layer]]:
        """Yield (path, layer) for every layer, also for those inside of others, from the input up;
        each layer comes before those that it holds."""
        return walk(self.layers)

    def parameters(self) -> dict[str, Array]:
        """Return all arrays that learn, by "path/name", such as "block1/conv2/W"."""
        return {
            f"{path}/{name}": array
            for path, layer in self.walk()
            for name, array in layer.params.items()
        }

    def forward(self, X: Array, *, train: bool) -> Array:
        """Return the outputs N (B, classes) for X (B, …); a training forward prepares backward.

        Raises RuntimeError, of a training forward, if an update of W has left a V behind.
        """
        if self.input_shape is not None and X.shape[1:] != self.input_shape:
            expected = ", ".join(["B", *map(str, self.input_shape)])
            raise InputError(f"the network expects X ({expected}), got {X.shape}.")
        if train:
            self._check_feedback()
        N = self.body.forward(X, train=train)
        return N if train or not self.fused else N.copy()

    def backward(self, dN: Array, targets: Array | None = None) -> None:
        """Send dN = ∂E/∂N down through every V; sets each layer's `grads`.

        It stops at the first layer that learns, whose dX nobody needs. A rule whose error is from
        afar has each layer's V take that instead of its own dN.

        targets  (B, outputs), one-hot: only rules with error = "targets" need them
        """
        for layer in self.weighted:
            layer.far = None
        if self.afar:
            e = self._error(dN, targets)
            for layer in self.weighted:
                if layer.path not in self.symmetric:
                    layer.far = e
        self.body.backward(dN, need_dX=False)

    @contextlib.contextmanager
    def backpropagating(self) -> Iterator[None]:
        """Have V = W and each layer's own error within the block, whatever the rule."""
        afar, self.afar = self.afar, False
        try:
            with contextlib.ExitStack() as stack:
                for layer in self.weighted:
                    stack.enter_context(layer.backpropagating())
                yield
        finally:
            self.afar = afar

    def fuse(self) -> None:
        """Let a compiled tier run layers as one where it can; on the plain one it changes nothing.

        Faster, and with less memory. What the fused layers hand to each other is then None in a
        trace. On a CPU arrays of one step are overwritten in the next, and errors once the layers
        below have theirs: a trace has none.
        """
        if self.fused or not self.ops.compiled:
            return
        self.body.fuse(self._joining)
        self.fused = True

    @contextlib.contextmanager
    def unfused(self) -> Iterator[None]:
        """Run layer by layer within the block, so that each array can be looked at."""
        if not self.fused:
            yield
            return
        self.body.fuse(Apart(self.ops))
        self.fused = False
        try:
            yield
        finally:
            self.body.fuse(self._joining)
            self.fused = True

    def refresh_feedback(self, optimizer: Optimizer | None = None) -> None:
        """Have every V follow its W by the rule; to be called after each update of W (Sec. 2).

        A V that learns by Eq. 3 needs the optimizer that moves W.
        """
        self.updates += 1
        if self.rule is not None and self.rule.after is not None:
            for layer in self.weighted:
                if layer in self.unused:
                    layer.V = layer.V  # it stays: no backward uses it
                elif self.learns_V(layer):
                    here = self.synapses(layer, self._moves(layer, optimizer))
                    layer.V = guard.after(self.rule, layer.path, here)
                    self.made_V[layer.path] = layer.V
            return
        if self.fused and type(self) is Network and self.formulas():
            parts = self.feedbacks(self.updates).items()
            # No g and no memory: W stays.
            self.ops.update([Update(FROZEN, la.W, la.W, la.W, feedback=V) for la, V in parts])
            self.place_feedback()
            return
        if self.rule is not None and self.rule.redraw == "batch":
            self._draw()
        self.apply_rule()

    # How each V follows its W where a compiled tier makes it: in place, and by a formula

    def formulas(self) -> dict[WeightedLayer, Formula]:
        """Return the formula of each V that follows its W; none if the rule has none for one of
        them, or draws what a kernel does not, or if a W is not in one piece."""
        rule, found = self.rule, {}
        for layer in self.weighted if rule is not None else []:
            if rule is not None and layer.path not in self.symmetric:
                formula = rule.formula(layer.W.shape, self.drawn[layer.path])
                drawn = rule.redraw == "once" or (formula is not None and formula.draws)
                if formula is None or not drawn or not layer.W.flags.c_contiguous:
                    return {}
                found[layer] = formula
        return found

    def feedbacks(self, step: int) -> dict[WeightedLayer, Feedback]:
        """Return how each V is to be made after an update, in an array that is no other's; without
        those that stay, and those that are made when they are asked for.

        step  of the streams, for what is drawn anew
        """
        found, xp = self.formulas(), self.device.xp
        feedbacks = {}
        for layer, formula in found.items():
            if formula.kind == KEEP or layer in self._deferred(found):
                continue
            drawn, V = self.drawn[layer.path], self.made_V.get(layer.path)
            others = (layer.W, *drawn.values())
            if V is None or any(xp.may_share_memory(V, array) for array in others):
                V = self.made_V[layer.path] = xp.empty_like(layer.W)  # another rule's
            stream = (self._stream(layer.path).key, step) if formula.draws else None
            feedbacks[layer] = Feedback(formula, V, stream)
        return feedbacks

    def place_feedback(self) -> None:
        """Give each layer the V that the tier has made."""
        rule, found = self.rule, self.formulas()
        for layer, formula in found.items():
            if rule is not None and layer in self._deferred(found):
                self.made_V.pop(layer.path, None)
                drawn = {} if formula.M is None else self.drawn[layer.path]
                layer.defer_V(partial(rule.V, **drawn))
            else:
                layer.V = self.made_V[layer.path]

    def _deferred(self, found: dict[WeightedLayer, Formula]) -> list[WeightedLayer]:
        """Return the layers whose V is made when it is asked for: those whose V no backward uses.

        Not those whose V stays, or whose M is drawn anew, which is now or never.
        """
        unused = [(layer, found[layer]) for layer in self.unused if layer in found]
        return [layer for layer, each in unused if each.kind != KEEP and not each.draws]

    def locality(self) -> dict[str, Any]:
        """Return what the rule's V was made from, JSON-able: a certificate of its locality.

        error               which error Eq. 2 sends: "own", "output", "sign" or "targets"
        reads               what was read at the synapses, by name: see Synapses
        transports_weights  whether V was made from W's numbers or signs after its first value
        """
        if self.rule is None:
            return {"error": "own", "reads": [], "transports_weights": True}
        reads = sorted(self.read)
        moved = "W" in reads if self.rule.after is not None else self._follows_W()
        return {"error": self.rule.error, "reads": reads, "transports_weights": moved}

    def _follows_W(self) -> bool:
        """Return whether another W would give another V."""
        for layer in self.weighted:
            if layer.path not in self.symmetric and self.rule is not None:
                drawn, shape = self.drawn[layer.path], layer.V_shape
                V, other = (
                    guard.make_V(self.rule, layer.path, W, drawn, shape)
                    for W in (layer.W, -layer.W)
                )
                return bool(self.device.to_host((other != V).sum()))
        return True

    def apply_rule(self) -> None:
        """Set every V from its W and what was drawn for it; one that learns begins anew."""
        if self.rule is None:
            return
        self.state = {layer.path: {} for layer in self.weighted}
        for layer in self.weighted:
            if layer.path not in self.symmetric:
                drawn = self.drawn[layer.path]
                V = guard.make_V(self.rule, layer.path, layer.W, drawn, layer.V_shape)
                layer.V = V if self.rule.after is None else V.copy()  # a state is its own array
                self.made_V[layer.path] = layer.V

    def trace(self) -> list[Trace]:
        """Return what went through each layer in the last training forward and backward, in the
        order of `walk`."""
        if not self.body.traced:
            raise RuntimeError("nothing to trace: run forward(X, train=True) and backward(dN).")
        return self.body.inner_traces()

    def batch_norms(self) -> list[BatchNorm]:
        """Return the Batch Normalization layers, from the input up."""
        return [layer for _, layer in self.walk() if isinstance(layer, BatchNorm)]

    def _unused(self) -> list[WeightedLayer]:
        """Return the first weighted layer, whose V no backward uses, or none: where a layer below
        it learns, or where a user's own layer holds it, and may ask for its dX all the same."""
        layers = dict(self.walk())
        first = next((path for path, layer in layers.items() if layer.params), "")
        above = [path for path in layers if first.startswith(f"{path}/")]
        sure = all(type(layers[path]) in (Sequential, Residual) for path in above)
        return [layer for layer in self.weighted[:1] if layer.path == first and sure]

    def _draw(self) -> None:
        if self.rule is None:
            return
        for layer in self.weighted:
            if layer.path in self.symmetric:
                continue
            rng = self._stream(layer.path).at(self.updates)
            shape = layer.V_shape or layer.W.shape
            self.drawn[layer.path] = guard.draw(self.rule, layer.path, shape, rng)

    def _measure(self) -> None:
        """Tell each layer the shape of a V that takes an error from afar: (inputs, outputs)."""
        if self.input_shape is None:
            raise InputError(
                "a rule with an error from afar needs to know each layer's inputs: give Network "
                "its input_shape."
            )
        dtype = self.weighted[0].W.dtype
        N = self.body.forward(self.device.xp.zeros((2, *self.input_shape), dtype), train=True)
        for layer in self.weighted:
            (X,) = layer.recall("X")
            layer.V_shape = (X.size // len(X), N.shape[-1])

    def _error(self, dN: Array, targets: Array | None) -> Array:
        """Return what the rule sends to all layers."""
        if self.rule is None or self.rule.error == "output":
            return dN
        if self.rule.error == "sign":
            return sign(dN)
        if targets is None or targets.shape != dN.shape:
            given = "none" if targets is None else f"{targets.shape}"
            raise InputError(
                f"rule {self.rule.name} sends the targets: expected backward(dN, targets) with "
                f"targets {dN.shape}, got {given}."
            )
        return targets

    def learns_V(self, layer: WeightedLayer) -> bool:
        """Return whether the rule's `after` moves a layer's V: a state, which a backward uses."""
        learned = self.rule is not None and self.rule.after is not None
        return learned and layer not in self.unused and layer.path not in self.symmetric

    def synapses(
        self,
        layer: WeightedLayer,
        move: Callable[[Array, Array, str], Array],
        *,
        read: set[str] | None = None,
        state: dict[str, Array] | None = None,
    ) -> Synapses:
        """Return what a V that learns may use after an update: what is at a layer's synapses.

        move   Synapses.move, a function of A, its gradient g and its name
        read   takes the names of what is read, in the place of the network's own set
        state  the rule's arrays, in the place of the network's own
        """
        ops = self.ops
        (X,) = layer.recall("X")

        def hebb(x: Array, y: Array) -> Array:
            if layer.V_shape is None:
                return layer.hebb(ops, x, y)
            return ops.linear_dW(x.reshape(len(x), -1), y)

        return Synapses(
            self.read if read is None else read,
            W=guard.read_only(layer.W),
            V=layer.V,
            X=X,
            dW=layer.grads["W"],
            e=layer.far,
            state=self.state[layer.path] if state is None else state,
            step=self.updates,
            drawn=self.drawn[layer.path],
            rng=ops.draws(self._stream(layer.path), self.updates),
            N=lambda x, A=None: layer.N_of(ops, x, layer.W if A is None else A),
            back=lambda y, A=None: layer.back(ops, y, layer.V if A is None else A),
            hebb=hebb,
            move=lambda A, g, name="V": move(A, g, name),
        )

    def _moves(self, layer: WeightedLayer, optimizer: Optimizer | None) -> Callable[..., Array]:
        """Return the `move` of a layer's synapses: by Eq. 3, with the numbers of its W."""

        def move(A: Array, g: Array, name: str) -> Array:
            if optimizer is None:
                raise InputError(
                    "V moves by Eq. 3: expected network.refresh_feedback(optimizer), with the "
                    "optimizer that moves W."
                )
            ops = self.ops if self.fused else None
            return optimizer.follow(layer, A, g, self.state[layer.path], name, ops)

        return move

    def _stream(self, path: str) -> Stream:
        return self.streams[f"feedback/{path}"]

    def _check_feedback(self) -> None:
        """Raise RuntimeError if W moved and V, which the rule makes of it, did not follow."""
        stale = [layer.path for layer in self.weighted if layer.stale]
        if self.rule is not None and stale:
            raise RuntimeError(
                f"W changed in {', '.join(stale)}, but V is still that of the W before: call "
                "network.refresh_feedback() after optimizer.step(), or apply_rule() after weights "
                "by hand."
            )

    def __repr__(self) -> str:
        rows = "\n".join(f"{'  ' * path.count('/')}  {layer!r}" for path, layer in self.walk())
        return f"<Network {self.condition}\n{rows}>"
