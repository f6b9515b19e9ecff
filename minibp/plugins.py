"""Plug-ins of Eq. 3: what is made of a gradient before momentum, and of W after its update.

To add one, write a class like these in a file of your own and run
`python scripts/train.py --update my_updates.py:MyPlugin`.
"""

from collections.abc import Callable

from minibp import usercode
from minibp.device import Array, namespace
from minibp.errors import InputError, unknown
from minibp.feedback.base import split_name
from minibp.ops.matmul import matmul
from minibp.ops.norm import norm
from minibp.ops.sign import sign

PLUGINS: dict[str, type["Plugin"]] = {}
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of x, x³, x⁵: Jordan et al. (2024)
EXPECTED = "a class derived from minibp.plugins.Plugin"


def plugin(name: str) -> Callable[[type["Plugin"]], type["Plugin"]]:
    """Register the decorated Plugin under a name, as `--update` and conditions use it."""

    def register(cls: type["Plugin"]) -> type["Plugin"]:
        cls.name = name
        PLUGINS[name] = cls
        return cls

    return register


class Plugin:
    """What stands in Eq. 3 beside momentum and decay. Override `direction`, `project` or both.

    of        names of the parameters that it is for: W alone, or biases and BN's, too
    momentum  of Eq. 3, instead of the settings' own; None: theirs

    The rest is Eq. 3: τ = −direction + m τ(t−1) − d w, in its BM setting, and w += η τ.
    """

    name = ""
    of: tuple[str, ...] = ("W",)
    momentum: float | None = None
    replayable = False  # True in a class itself: a GPU may do `direction` again as a graph
    parameters: tuple[str, ...] = ()  # attributes that a name can set

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        cls.replayable = vars(cls).get("replayable", False)  # said of one class, not of those below

    def direction(self, g: Array, w: Array, state: dict[str, Array]) -> Array:
        """Return what takes the gradient's place, of its shape.

        state  arrays of the plug-in's own for this parameter, kept from update to update
        """
        return g

    def direction_of_product(
        self, X: Array, dN: Array, w: Array, state: dict[str, Array]
    ) -> Array | None:
        """Return `direction` of g = Xᵀ dN for X (B, I), dN (B, J), w (I, J), where that is cheaper
        by way of the B samples; None where it is not."""
        return None

    def project(self, before: Array, w: Array, first: Array) -> Array:
        """Return the parameter that stands after an update, from that before it and that after.

        first  the parameter at the start of the run
        """
        return w

    @classmethod
    def projects(cls) -> bool:
        """Whether the class changes parameters after an update."""
        return cls.project is not Plugin.project


@plugin("Frobenius")
class Frobenius(Plugin):
    """√n g / ‖g‖: steepest descent in the Frobenius norm by layer; its root mean square is 1, as
    that of BM's signs."""

    replayable = True

    def direction(self, g: Array, w: Array, state: dict[str, Array]) -> Array:
        size = norm(g)
        return g * (g.size**0.5 / (size + (size == 0)))


@plugin("Muon")
class Muon(Plugin):
    """√max(1, I/J) U Vᵀ, the polar factor of g = U Σ Vᵀ as (inputs, outputs), by five steps of
    Newton and Schulz: steepest descent in the spectral norm. Jordan et al. (2024)."""

    replayable = True

    steps = 5
    parameters = ("steps",)

    def direction(self, g: Array, w: Array, state: dict[str, Array]) -> Array:
        G = g.reshape(-1, g.shape[-1])
        size = norm(G)
        X = G / (size + (size == 0))
        (a, b, c), tall = NEWTON_SCHULZ, X.shape[0] >= X.shape[1]
        for _ in range(self.steps):
            A = matmul(X.T, X) if tall else matmul(X, X.T)
            B = b * A + c * matmul(A.T, A)  # A is symmetric; of this form BLAS computes one half
            X = a * X + (matmul(X, B) if tall else matmul(B, X))
        return (max(1.0, G.shape[0] / G.shape[1]) ** 0.5 * X).reshape(g.shape)

    def direction_of_product(
        self, X: Array, dN: Array, w: Array, state: dict[str, Array]
    ) -> Array | None:
        """The same steps: with g = Xᵀ C dN they are steps of C (B, B), in double precision."""
        (I, J), B = w.shape, len(X)
        if min(I, J) <= B:
            return None
        xp, (a, b, c) = namespace(X, dN), NEWTON_SCHULZ
        x, d = X.astype("float64"), dN.astype("float64")
        G, H = matmul(x, x.T), matmul(d, d.T)
        size = xp.sqrt(abs((G * H).sum()))  # ‖Xᵀ dN‖
        C = xp.eye(B, dtype="float64") / (size + (size == 0))
        for _ in range(self.steps):
            P = matmul(matmul(matmul(C, H), C.T), G)  # with g = Xᵀ C dN, g (gᵀ g) is Xᵀ P C dN
            C = a * C + matmul(b * P + c * matmul(P, P), C)
        return max(1.0, I / J) ** 0.5 * matmul(X.T, matmul(C.astype(dN.dtype), dN))


@plugin("Adam")
class Adam(Plugin):
    """m̂ / (√v̂ + ε), β₁ = 0.9, β₂ = 0.999, ε = 1e-8, in place of momentum. Kingma & Ba (2015)."""

    replayable = True

    of, momentum = ("W", "b", "scale", "shift"), 0.0
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    parameters = ("beta1", "beta2", "eps")

    def direction(self, g: Array, w: Array, state: dict[str, Array]) -> Array:
        for name, new, beta in (("m", g, self.beta1), ("v", g * g, self.beta2)):
            state[name] = beta * state.get(name, 0 * g) + (1 - beta) * new
            state[f"share_{name}"] = 1 - beta * (1 - state.get(f"share_{name}", 0 * g.ravel()[:1]))
        m, v = (state[name] / state[f"share_{name}"] for name in ("m", "v"))
        return m / (namespace(g).sqrt(v) + self.eps)


@plugin("NSC")
class NoSignChange(Plugin):
    """A weight whose update would change its sign becomes 0 instead, and may go back on its side.

    As Dale's law has it of synapses.
    """

    def project(self, before: Array, w: Array, first: Array) -> Array:
        return w * (sign(w) * sign(first) >= 0)


@plugin("WN")
class WeightNormalization(Plugin):
    """Each output's weights keep the norm that they had at the start."""

    def project(self, before: Array, w: Array, first: Array) -> Array:
        xp, axes = namespace(w), tuple(range(w.ndim - 1))
        now, then = (xp.sqrt((x * x).sum(axis=axes)) for x in (w, first))
        return w * (then / (now + (now == 0)))


def get_plugin(name: str) -> type[Plugin]:
    """Return the plug-in of a registered name, or the class of a user's file ("file.py:Class").

    Raises InputError for an unknown name, a file that cannot be loaded, no such class in it, or a
    parameter that it has not.
    """
    base, given = split_name(name)
    found = PLUGINS.get(base)
    place = usercode.split(base)
    if found is None and place is None:
        raise unknown("update", base, [*PLUGINS, "file.py:Class"])
    if found is None:
        path, cls = place
        found = getattr(usercode.load(path).module, cls, None)
        if not (isinstance(found, type) and issubclass(found, Plugin)):
            raise InputError(f"{path} has no class {cls!r} that is {EXPECTED}.")
        found.name = found.name or base
    for parameter in given:
        if parameter not in found.parameters:
            known = ", ".join(found.parameters) or "none"
            raise InputError(f"update {name!r} has no parameter {parameter!r}: it has {known}.")
    return found


def new_plugin(name: str) -> Plugin:
    """Return a plug-in, ready to use, with the parameters in its name."""
    cls = get_plugin(name)
    with usercode.named(f"update {name}"):
        made = cls()
    for parameter, value in split_name(name)[1].items():
        setattr(made, parameter, value)
    return made
