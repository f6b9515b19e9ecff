"""Where arrays live: NumPy on the CPU, CuPy on a GPU. The only file that names cupy.

Arrays carry their device: `namespace` reads it off them, and there is no global current one.
Nothing moves between host and device but through `Device.asarray` and `Device.to_host`.
"""

import sys
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np

from minibp.errors import DeviceError, InputError, unknown

Array = Any  # a NumPy array, a CuPy array, or another device's array with the same methods

DTYPES = ("float32", "float64")  # float32 trains, float64 checks
INSTALL = "pip install 'minibp[cuda12]' (CUDA 12) or 'minibp[cuda13]' (CUDA 13)"


class Device:
    """A place for arrays; this one is the CPU. `transfers` counts the copies in and out.

    >>> device = get_device("cpu")
    >>> X = device.asarray([[1, 2]], dtype="float32")
    >>> X.dtype, device.to_host(X).sum()
    (dtype('float32'), np.float32(3.0))
    """

    name: str = "cpu"
    blocking: bool = True  # results are there when a call returns, so reading a number is free

    def __init__(self) -> None:
        self.xp: ModuleType = np
        self.transfers: Counter[str] = Counter()

    def asarray(self, host: Any, dtype: str | None = None) -> Array:
        """Return a host array (or nested list) as an array of this device."""
        self.transfers["to device"] += 1
        return self._put(np.asarray(host, dtype))

    def to_host(self, array: Array) -> np.ndarray:
        """Return an array of this device as a NumPy array; any other device's raises."""
        if namespace(array) is not self.xp:
            raise DeviceError(f"to_host of {self.name!r} was given a {type(array).__name__}.")
        self.transfers["to host"] += 1
        return self._get(array)

    def synchronize(self) -> None:
        """Wait until all work queued on the device is done."""

    def _put(self, host: np.ndarray) -> Array:
        return host

    def _get(self, array: Array) -> np.ndarray:
        return array

    def __repr__(self) -> str:
        return f"<device {self.name}>"


class CudaDevice(Device):
    """The current NVIDIA GPU, through CuPy."""

    name = "cuda"
    blocking = False

    def __init__(self) -> None:
        super().__init__()
        try:
            import cupy
        except ImportError:
            raise DeviceError(
                f"device 'cuda' needs CuPy, which is not installed: {INSTALL}. Or use --device cpu."
            ) from None
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            count, reason = 0, f" ({error})"
        else:
            reason = ""
        if count == 0:
            raise DeviceError(
                f"device 'cuda': CuPy is installed, but finds no usable NVIDIA GPU{reason}. "
                f"Check the driver with nvidia-smi, and that CuPy fits it: {INSTALL}. "
                "Or use --device cpu."
            )
        self.xp = cupy

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def _put(self, host: np.ndarray) -> Array:
        return self.xp.asarray(host)

    def _get(self, array: Array) -> np.ndarray:
        return self.xp.asnumpy(array)


def get_device(name: str = "auto") -> Device:
    """Return the device called 'cpu', 'cuda' or 'auto' (a GPU if one is usable, else the CPU).

    Raises DeviceError for 'cuda' on a machine without CuPy or without a usable GPU.
    """
    if name == "cpu":
        return Device()
    if name == "cuda":
        return CudaDevice()
    if name == "auto":
        try:
            return CudaDevice()
        except DeviceError:
            return Device()
    raise unknown("device", name, ["cpu", "cuda", "auto"])


def namespace(*arrays: Array) -> ModuleType:
    """Return the module (numpy, cupy) that all the arrays belong to; None entries are skipped.

    Raises DeviceError if they belong to different ones: arrays never mix silently.
    """
    found = None
    for array in arrays:
        if array is None:
            continue
        if isinstance(array, np.ndarray | np.generic):
            module: Any = np
        elif type(array).__module__.partition(".")[0] == "cupy":
            module = sys.modules["cupy"]
        elif hasattr(array, "__array_namespace__"):
            module = array.__array_namespace__()
        else:
            raise DeviceError(
                f"expected an array, got {type(array).__name__}: make it one with device.asarray()."
            )
        if found is not None and module is not found:
            raise DeviceError(
                f"arrays of two devices were mixed ({found.__name__} and {module.__name__}): "
                "move one of them with device.asarray() or device.to_host()."
            )
        found = module
    if found is None:
        raise DeviceError("no array was given.")
    return found


def check_dtype(name: str) -> str:
    """Return the name of a floating-point type the engine computes in, or raise InputError."""
    if name not in DTYPES:
        raise InputError(f"dtype {name!r}: expected one of {', '.join(DTYPES)}.")
    return name
