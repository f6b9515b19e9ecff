"""A process that compiles a kernel and one that loads it from the disk compute the same bits."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

STEPS = """
import hashlib
import numpy as np
from minibp import Condition, build_network, build_optimizer, get_device
from minibp.train import step

condition = Condition.parse("frSF+BN")
net = build_network("mnist", 10, condition, get_device("cpu", threads=2), 0)
net.fuse()
optimizer = build_optimizer(net, condition, rate=1e-3)
rng = np.random.default_rng(0)
for _ in range(3):
    step(net, optimizer, rng.standard_normal((50, 28, 28, 1), "float32"), rng.integers(0, 10, 50))
print(hashlib.sha256(b"".join(layer.W.tobytes() for layer in net.weighted)).hexdigest())
"""


@pytest.mark.slow
def test_compiled_anew_or_loaded_the_bits_are_the_same(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", STEPS]
    hashes = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert hashes[0] == hashes[1]
