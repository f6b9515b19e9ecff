"""Without Numba everything works on the plain tier, and one line says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from minibp import get_device
from minibp.device import without_numba
from minibp.errors import DeviceError, InputError

ROOT = Path(__file__).parents[1]
HIDDEN = "import sys; sys.modules['numba'] = None; sys.argv = sys.argv[1:]; import runpy; "


def test_the_main_job_without_numba(tmp_path):
    script = ROOT / "scripts" / "train.py"
    flags = "--feedback frSF --bn --bm --quiet --epochs 1 --train-limit 60 --rate-factors 1"
    command = [sys.executable, "-c", f"{HIDDEN} runpy.run_path(sys.argv[0], run_name='__main__')"]
    done = subprocess.run(
        [*command, script, *flags.split(), "--set", "bn_batches=2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == (
        "note: training is slower without Numba, which cannot be imported: pip install numba\n"
    )
    assert done.stdout.startswith("best error: ")


def test_get_device_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert get_device("cpu").kernels == "plain"
    with pytest.raises(
        DeviceError, match="need Numba, which cannot be imported: pip install numba"
    ):
        get_device("cpu", kernels="compiled")


def test_numba_that_may_not_compile_is_none(monkeypatch):
    numba = pytest.importorskip("numba")
    assert without_numba() == ""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert get_device("cpu").kernels == "plain"
    assert without_numba() == "which NUMBA_DISABLE_JIT keeps from compiling: unset it"
    with pytest.raises(
        DeviceError, match=r"NUMBA_DISABLE_JIT .*: unset it\. Or use --kernels plain"
    ):
        get_device("cpu", kernels="compiled")


def test_a_numba_whose_library_cannot_be_loaded_is_none(monkeypatch):
    def load(name):
        raise OSError("Could not find/load shared object file")

    monkeypatch.setattr("minibp.device.importlib.import_module", load)
    assert get_device("cpu").kernels == "plain"
    assert without_numba().endswith("pip install numba")


def test_bad_kernels_and_threads():
    with pytest.raises(InputError, match=r"unknown kernels 'fast'.*compiled"):
        get_device("cpu", kernels="fast")
    with pytest.raises(InputError, match="threads 0: expected 1 or more"):
        get_device("cpu", threads=0)
    with pytest.raises(InputError, match="threads '2': expected 1 or more"):
        get_device("cpu", threads="2")
