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
from minibp.training.run import train_step

condition = Condition.parse("frSF+BN")
net = build_network("mnist", 10, condition, get_device("cpu", threads=2), 0)
net.fuse()
optimizer = build_optimizer(net, condition, rate=1e-3)
rng = np.random.default_rng(0)
for _ in range(3):
    X = rng.standard_normal((50, 28, 28, 1), "float32")
    train_step(net, optimizer, X, rng.integers(0, 10, 50))
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


def test_kernels_of_other_sources_are_dropped(tmp_path):
    from minibp.ops.cpu.jit import drop_stale

    (tmp_path / "a.py").write_text("x = 1")
    cache = tmp_path / "__pycache__"
    drop_stale(tmp_path)
    compiled = [cache / "a.f-1.py311.nbi", cache / "a.f-1.py311.1.nbc"]

    def there():
        for path in compiled:
            path.touch()
        (cache / "a.cpython-311.pyc").touch()
        drop_stale(tmp_path)
        return [path.exists() for path in compiled]

    assert there() == [True, True]
    (tmp_path / "b.py").write_text("y = 1")  # another file than the kernel's
    assert there() == [False, False]
    assert there() == [True, True]
    assert (cache / "a.cpython-311.pyc").exists()


def test_a_folder_that_cannot_be_written_to_is_left_as_it_is(tmp_path, monkeypatch):
    from minibp.ops.cpu import jit

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(jit, "write_atomically", refuse)
    jit.drop_stale(tmp_path)
