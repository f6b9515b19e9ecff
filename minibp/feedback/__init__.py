"""Feedback rules: the paper's, those whose V learns, and those with errors from afar."""

from minibp.feedback.afar import (
    DirectFeedback,
    DirectKolenPollack,
    DirectRandomTargets,
    SignDirectFeedback,
)
from minibp.feedback.base import (
    RULES,
    FeedbackRule,
    check_attributes,
    get_rule,
    new_rule,
    rule,
    split_name,
)
from minibp.feedback.learned import (
    ActivationAlignment,
    InformationAlignment,
    KolenPollack,
    ProductFeedback,
    SymmetricAlignment,
    WeightMirror,
)
from minibp.feedback.paper import (
    BatchwiseRandomMagnitude,
    FixedRandom,
    FixedRandomMagnitude,
    NormalizedUniform,
    Symmetric,
    Uniform,
)
from minibp.feedback.signs import (
    LateSigns,
    NoisySigns,
    NormalizedRandom,
    NormalizedSigns,
    ScaledSigns,
    TricklingSigns,
)
from minibp.feedback.synapses import Synapses

__all__ = [
    "RULES",
    "ActivationAlignment",
    "BatchwiseRandomMagnitude",
    "DirectFeedback",
    "DirectKolenPollack",
    "DirectRandomTargets",
    "FeedbackRule",
    "FixedRandom",
    "FixedRandomMagnitude",
    "InformationAlignment",
    "KolenPollack",
    "LateSigns",
    "NoisySigns",
    "NormalizedRandom",
    "NormalizedSigns",
    "NormalizedUniform",
    "ProductFeedback",
    "ScaledSigns",
    "SignDirectFeedback",
    "Symmetric",
    "SymmetricAlignment",
    "Synapses",
    "TricklingSigns",
    "Uniform",
    "WeightMirror",
    "check_attributes",
    "get_rule",
    "new_rule",
    "rule",
    "split_name",
]
