import numpy as np
import pytest

from minibp.training.data import Data


@pytest.fixture(scope="session")
def toy():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = rng.integers(0, 100, (60, 28, 28, 1)) + 70 * y[:, None, None, None]
    X = X.astype("uint8")
    return Data("toy", X[:40], y[:40], X[40:], y[40:], classes=3, network="mnist")
