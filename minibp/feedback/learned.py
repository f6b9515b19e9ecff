"""Rules whose V learns, from what is at its synapses."""

from minibp.device import Array
from minibp.feedback.base import check_share, rule
from minibp.feedback.paper import FixedRandom
from minibp.feedback.synapses import Synapses
from minibp.ops.matmul import matmul
from minibp.rng import Draws


@rule("KP")
class KolenPollack(FixedRandom):
    """V moves as W does: by Eq. 3, with dW for its gradient, too. So V − W decays.

    Kolen & Pollack (1994); Akrout et al. (2019), Eqs. 16 and 17.
    """

    replayable = True

    def after(self, here: Synapses) -> Array:
        return here.move(here.V, here.dW)

    def energy(self, here: Synapses, V: Array) -> Array:
        return (V * here.dW).sum()


@rule("WM")
class WeightMirror(FixedRandom):
    """V ← (1 − λ) V + λ M, M = Σ x N(x) / n: noise x of 1 and −1 at the inputs, and what W makes
    of it, over the batch and the n positions of N; without padding its mean is W. λ = 0.02.

    Akrout et al. (2019), Eq. 7: any noise does whose elements have mean 0 and one variance.
    """

    replayable = True

    share = 0.02  # λ
    parameters = ("share",)

    def check(self) -> None:
        check_share(self)

    def after(self, here: Synapses) -> Array:
        x = here.rng.signs(here.X.shape, 0.5)
        y = here.N(x)
        mirrored = here.hebb(x, y) * (y.shape[-1] / y.size)
        return here.V + self.share * (mirrored - here.V)

    def energy(self, here: Synapses, V: Array) -> Array:
        x = here.rng.signs(here.X.shape, 0.5)
        y = here.N(x)
        like = (here.N(x, V) * y).sum() * (y.shape[-1] / y.size)  # what V and W make of the noise
        return self.share * ((V * V).sum() / 2 - like)


@rule("SA")
class SymmetricAlignment(FixedRandom):
    """V ← V + λ (W − V): downhill on ½‖V‖² − tr(VᵀW), λ = 0.02. It transports weights.

    Kunin et al. (2020), Sec. 3.1.
    """

    replayable = True

    share = 0.02  # λ
    parameters = ("share",)

    def check(self) -> None:
        check_share(self)

    def after(self, here: Synapses) -> Array:
        return here.V + self.share * (here.W - here.V)

    def energy(self, here: Synapses, V: Array) -> Array:
        return self.share * ((V * V).sum() / 2 - (V * here.W).sum())


@rule("AA")
class ActivationAlignment(FixedRandom):
    """V by Eq. 3, downhill on ½‖X V‖² − tr(X V · N(X)), over the batch: activations amplify V, and
    keep it sparse.

    Kunin et al. (2020), Sec. 3.2.
    """

    replayable = True

    def after(self, here: Synapses) -> Array:
        X = here.X
        return here.move(here.V, here.hebb(X, here.N(X, here.V) - here.N(X)) * _share(X))

    def energy(self, here: Synapses, V: Array) -> Array:
        XV, N = here.N(here.X, V), here.N(here.X)
        return _share(here.X) * ((XV * XV).sum() / 2 - (XV * N).sum())


@rule("IA")
class InformationAlignment(FixedRandom):
    """V by Eq. 3, downhill on ½‖N Vᵀ‖² − tr(X V · N), N = N(X): V learns to send N back to X.

    Kunin et al. (2020), Sec. 3.2.
    """

    replayable = True

    def after(self, here: Synapses) -> Array:
        N = here.N(here.X)
        return here.move(here.V, here.hebb(here.back(N) - here.X, N) * _share(here.X))

    def energy(self, here: Synapses, V: Array) -> Array:
        N = here.N(here.X)
        back, XV = here.back(N, V), here.N(here.X, V)
        return _share(here.X) * ((back * back).sum() / 2 - (XV * N).sum())


@rule("PFA")
class ProductFeedback(FixedRandom):
    """V = R Bᵀ, B fixed: R moves by Eq. 3 with dW B for its gradient, as if its outputs were the
    errors that B sends.

    Li & Benna (2024).
    """

    replayable = True

    def draw(self, shape: tuple[int, ...], rng: Draws) -> dict[str, Array]:
        J = shape[-1]
        return {"B": rng.normal((J, J), J**-0.5), "R": rng.normal(shape, self.sigma)}

    def V(self, W: Array, B: Array, R: Array) -> Array:
        return matmul(R, B.T)

    def after(self, here: Synapses) -> Array:
        B = here.drawn["B"]
        R = here.state.setdefault("R", here.drawn["R"].copy())
        return matmul(here.move(R, matmul(here.dW, B), "R"), B.T)

    def energy(self, here: Synapses, V: Array) -> Array:
        B = here.drawn["B"]
        return (V * (here.dW @ B @ B.T)).sum()


def _share(X: Array) -> float:
    """Return 1 over the number of samples and positions."""
    return X.shape[-1] / X.size
