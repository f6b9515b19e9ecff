import contextlib
import subprocess
import sys
import types

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
    device = get_device("auto")
    assert device.name == "cpu"
    assert device.note.startswith("device 'auto' is the CPU: device 'cuda' needs CuPy")
    assert "--device cpu" not in device.note
    assert get_device("cpu").note == ""


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
    assert "InsufficientDriver" in get_device("auto").note


def test_importing_minibp_imports_no_cupy():
    code = "import minibp, minibp.experiments.experiment, sys; sys.exit('cupy' in sys.modules)"
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


class Recorder:
    """Just enough of CuPy for CudaDevice, on NumPy; `done` has what was asked of it."""

    def __init__(self):
        self.done = []
        recorder = self

        class Stream:
            ptr = 1

            def __init__(self, non_blocking):
                assert non_blocking

            def __enter__(self):
                recorder.done.append("enter")

            def __exit__(self, *_):
                recorder.done.append("leave")

            def begin_capture(self):
                recorder.done.append("begin")

            def end_capture(self):
                recorder.done.append("end")
                return types.SimpleNamespace(launch=lambda stream: recorder.done.append("launch"))

            def synchronize(self):
                recorder.done.append("wait")

        stream = Stream(non_blocking=True)
        self.cuda = types.SimpleNamespace(
            Stream=Stream,
            nothing=None,
            get_current_stream=lambda: stream,
            MemoryPool=lambda: types.SimpleNamespace(malloc=None),
            using_allocator=lambda allocator: contextlib.nullcontext(),
            runtime=types.SimpleNamespace(
                getDeviceCount=lambda: 1,
                getDevice=lambda: 0,
                getDeviceProperties=lambda number: {"name": b"a GPU"},
                runtimeGetVersion=lambda: 12090,
                memGetInfo=lambda: (1000, 2000),
                CUDARuntimeError=RuntimeError,
            ),
        )
        self.__version__ = "14"

    def asarray(self, host, order):
        assert order == "C"
        return np.array(host, order=order)

    def get_default_memory_pool(self):
        return types.SimpleNamespace(free_bytes=lambda: 24)


@pytest.fixture
def cupy(monkeypatch):
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "cupy", recorder)
    return recorder


def test_a_gpu_describes_itself(cupy):
    device = get_device("cuda")
    expected = {"name": "cuda", "kernels": "compiled", "gpu": "a GPU", "cupy": "14", "cuda": 12090}
    assert device.describe() == expected
    assert device.free_memory() == 1024
    assert device.queue() == 1


def test_work_is_recorded_once_and_launched_as_often_as_wanted(cupy):
    device = get_device("cuda")
    replay = device.record(lambda: cupy.done.append("work"))
    assert cupy.done == ["enter", "begin", "work", "end", "leave"]
    cupy.done.clear()
    with device.working():
        replay(), replay()
    assert cupy.done == ["wait", "enter", "launch", "launch", "wait", "leave"]


def test_a_recording_that_fails_is_ended(cupy):
    device = get_device("cuda")
    with pytest.raises(ZeroDivisionError):
        device.record(lambda: 1 / 0)
    assert cupy.done == ["enter", "begin", "end", "leave"]


def test_columns_first_on_the_host_is_rows_first_on_a_gpu(cupy):
    """Kernels go by rows."""
    host = np.asfortranarray(np.arange(6).reshape(2, 3))
    array = get_device("cuda").asarray(host)
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, host)


def test_a_library_that_is_not_there(cupy):
    with pytest.raises(DeviceError, match="CuPy finds no nothing"):
        get_device("cuda").library("nothing")
