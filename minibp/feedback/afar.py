"""Rules that send the output's error straight to every layer."""

from minibp.device import Array
from minibp.feedback.base import rule
from minibp.feedback.paper import FixedRandom
from minibp.feedback.synapses import Synapses


@rule("DFA")
class DirectFeedback(FixedRandom):
    """dX = e Vᵀ, e = ∂E/∂N of the output; V ~ N(0, σ²), drawn once.

    Nøkland (2016), Eq. 7.
    """

    replayable = True
    error = "output"


@rule("sDFA")
class SignDirectFeedback(FixedRandom):
    """dX = sign(e) Vᵀ. Frenkel, Lefebvre & Bol (2021)."""

    replayable = True
    error = "sign"


@rule("DRTP")
class DirectRandomTargets(FixedRandom):
    """dX = T Vᵀ, T the targets, one-hot: no error comes back at all.

    Frenkel, Lefebvre & Bol (2021), Eq. 4.
    """

    replayable = True
    error = "targets"


@rule("DKP")
class DirectKolenPollack(DirectFeedback):
    """DFA, and V moves by Eq. 3 with Σ X e for its gradient.

    Webster, Choi & Ahn (2020).
    """

    replayable = True

    def after(self, here: Synapses) -> Array:
        return here.move(here.V, here.hebb(here.X, here.e))

    def energy(self, here: Synapses, V: Array) -> Array:
        X = here.X
        return ((X.reshape(len(X), -1) @ V) * here.e).sum()
