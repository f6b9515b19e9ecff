import subprocess
import sys

import numpy as np
import pytest
from strict_array import StrictDevice

from minibp import get_device
from minibp.device import namespace
from minibp.errors import DeviceError, InputError


def test_names():
    assert get_device("cpu").name == "cpu"
    assert get_device("auto").name in ("cpu", "cuda")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        get_device("gpu")


def test_cuda_without_cupy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    with pytest.raises(DeviceError, match=r"pip install 'minibp\[cuda12\]'"):
        get_device("cuda")
    assert get_device("auto").name == "cpu"


class CupyWithoutGPU:
    """What CuPy looks like on a machine without a driver."""

    class cuda:
        class runtime:
            class CUDARuntimeError(RuntimeError):
                pass

            @classmethod
            def getDeviceCount(cls):
                raise cls.CUDARuntimeError("cudaErrorInsufficientDriver")


def test_cuda_without_a_gpu_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", CupyWithoutGPU)
    with pytest.raises(DeviceError, match=r"no usable NVIDIA GPU .*InsufficientDriver"):
        get_device("cuda")
    assert get_device("auto").name == "cpu"


def test_importing_minibp_imports_no_cupy():
    code = "import minibp, minibp.experiment, sys; sys.exit('cupy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_transfers_are_counted(device):
    array = device.asarray([1.0, 2.0])
    device.to_host(array)
    device.to_host(array)
    assert device.transfers == {"to device": 1, "to host": 2}


def test_another_devices_array_is_refused():
    with pytest.raises(DeviceError, match="to_host of 'cpu' was given a StrictArray"):
        get_device("cpu").to_host(StrictDevice().asarray([1.0]))
    with pytest.raises(DeviceError, match="to_host of 'strict' was given a ndarray"):
        StrictDevice().to_host(np.zeros(1))


def test_namespace(device):
    array = device.asarray([1.0])
    assert namespace(None, array) is device.xp
    with pytest.raises(DeviceError, match=r"got list: make it one with device\.asarray"):
        namespace([1.0])
    with pytest.raises(DeviceError, match="no array"):
        namespace(None)
