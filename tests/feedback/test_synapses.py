"""What a V that learns has read is noted."""

import numpy as np
import pytest

from minibp.feedback.synapses import Synapses

NAMES = "W V X dW e state step drawn rng N back hebb move".split()


def test_what_is_used_is_noted_by_name():
    read = set()
    here = Synapses(read, **{name: np.array(k) for k, name in enumerate(NAMES)})
    assert not read
    assert (here.X, here.dW) == (2, 3)
    assert read == {"X", "dW"}
    with pytest.raises(AttributeError):
        _ = here.labels
    assert read == {"X", "dW"}
