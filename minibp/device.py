"""Where arrays live: NumPy on the CPU, CuPy on a GPU. The only file that names cupy.

Arrays carry their device: `namespace` reads it off them, and there is no global current one.
Nothing moves between host and device but through `Device.asarray` and `Device.to_host`.
"""

import contextlib
import ctypes
import importlib
import os
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from minibp.errors import DeviceError, InputError, unknown

Array = Any  # a NumPy array, a CuPy array, or another device's array with the same methods

DTYPES = ("float32", "float64")  # float32 trains, float64 checks
KERNELS = ("auto", "compiled", "plain")
PLAIN = "--kernels plain"
INSTALL = "pip install 'minibp[cuda12]' (CUDA 12) or 'minibp[cuda13]' (CUDA 13)"
ELSE = " Or use --device cpu."


class Device:
    """A place for arrays; this one is the CPU. `transfers` counts the copies in and out.

    >>> device = get_device("cpu")
    >>> X = device.asarray([[1, 2]], dtype="float32")
    >>> X.dtype, device.to_host(X).sum()
    (dtype('float32'), np.float32(3.0))
    """

    name: str = "cpu"
    blocking: bool = True  # results are there when a call returns, so reading a number is free
    compiles: bool = False  # CUDA C: True promises `compile`, `library`, `address` and `queue`
    records: bool = False  # work, to be done again as one launch: True promises `record`

    def __init__(self, kernels: str = "plain", threads: int | None = None) -> None:
        self.kernels, self.threads = kernels, threads or available_cores()
        self.xp: ModuleType = np
        self.transfers: Counter[str] = Counter()
        self.note = ""  # why it was chosen, where another one was wished for

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

    def describe(self) -> dict[str, Any]:
        """Return what a record says of the device."""
        return {"name": self.name, "kernels": self.kernels, "threads": self.threads}

    def synchronize(self) -> None:
        """Wait until all work queued on the device is done."""

    def working(self) -> contextlib.AbstractContextManager:
        """Return what to enter for the work of one run, when several share the device."""
        return contextlib.nullcontext()

    def compile(self, source: str, **defines: str) -> Callable[[str], Callable]:
        """Return what gives a kernel of CUDA C by its name, to be called with (blocks,), (threads,)
        and its arguments: arrays, whole numbers (int32), floats (double), and records, which are
        NumPy's arrays and passed by value."""
        raise self._without("compile CUDA C")

    def library(self, name: str) -> Any:
        """Return one of NVIDIA's libraries, such as "cublas"."""
        raise self._without("load NVIDIA's libraries")

    def address(self, array: Array) -> int:
        """Return where in the device's memory an array begins."""
        raise self._without("have addresses")

    def queue(self) -> int:
        """Return the address of the stream that work is queued on now."""
        raise self._without("have streams")

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a function that does what `work()` does to arrays, as one launch.

        `work` is called once, and then nothing is done yet. Shapes, kernels and input addresses
        must stay the same between replays. Arrays allocated while recording have memory of their
        own.
        """
        raise self._without("record")

    def free_memory(self) -> int:
        """Return how many bytes of the device's own memory are free; 0 if it has none."""
        return 0

    def _without(self, what: str) -> DeviceError:
        return DeviceError(f"device {self.name!r} does not {what}: use a GPU, with --device cuda.")

    def __deepcopy__(self, memo: dict) -> "Device":
        return self  # it is a place: the copy of what is there is there, too

    def __reduce__(self) -> tuple:
        """Where it is loaded, a pickled device is the one of that process."""
        return type(self), (self.kernels, self.threads)

    def _put(self, host: np.ndarray) -> Array:
        return host

    def _get(self, array: Array) -> np.ndarray:
        return array

    def __repr__(self) -> str:
        return f"<device {self.name}>"


class CudaDevice(Device):
    """The current NVIDIA GPU, through CuPy, with a stream of its own."""

    name = "cuda"
    blocking = False
    compiles = records = True

    def __init__(self, kernels: str = "compiled") -> None:
        super().__init__(kernels)
        try:
            import cupy
        except ImportError:
            raise DeviceError(
                f"device 'cuda' needs CuPy, which is not installed: {INSTALL}.{ELSE}"
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
                f"Check the driver with nvidia-smi, and that CuPy fits it: {INSTALL}.{ELSE}"
            )
        self.xp = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)  # no other kind can be recorded
        self.libraries: dict[str, Any] = {}  # handles of NVIDIA's, see minibp/ops/cuda/blas.py
        _BY_STREAM[self.stream.ptr] = self

    def __reduce__(self) -> tuple:
        return type(self), (self.kernels,)

    def describe(self) -> dict[str, Any]:
        runtime = self.xp.cuda.runtime
        gpu = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
        own = {"name": self.name, "kernels": self.kernels, "gpu": gpu}
        return own | {"cupy": self.xp.__version__, "cuda": runtime.runtimeGetVersion()}

    def compile(self, source: str, **defines: str) -> Callable[[str], Callable]:
        options = [f"-D{name}={value}" for name, value in defines.items()]
        # Without fused multiply-adds the numbers are those of the same source on a CPU, but for
        # those too small to be normal (below 1.2e-38 in single precision): CuPy has NVRTC make
        # them 0 (-ftz=true), and so BM takes no step where a CPU would see a sign.
        module = self.xp.RawModule(code=source, options=("-std=c++14", "--fmad=false", *options))
        return module.get_function

    def library(self, name: str) -> ctypes.CDLL:
        """Return one of NVIDIA's libraries, such as "cublas", as CuPy loads it."""
        try:
            getattr(self.xp.cuda, name)  # CuPy finds it, and loads it
            major = self.xp.cuda.runtime.runtimeGetVersion() // 1000
            return ctypes.CDLL(f"lib{name}.so.{major}")
        except (ImportError, OSError) as error:
            raise DeviceError(f"CuPy finds no {name} ({error}): {INSTALL}.") from error

    def address(self, array: Array) -> int:
        return array.data.ptr

    def queue(self) -> int:
        return self.xp.cuda.get_current_stream().ptr

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a function that does what `work()` does to arrays, as one CUDA graph."""
        cupy, pool = self.xp, self.xp.cuda.MemoryPool()
        with self.stream, cupy.cuda.using_allocator(pool.malloc):
            self.stream.begin_capture()
            try:
                work()
            except BaseException:
                with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):
                    self.stream.end_capture()
                raise
            graph = self.stream.end_capture()

        def replay(memory: Any = pool) -> None:  # which is the graph's for as long as this lives
            graph.launch(self.stream)

        return replay

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        self.synchronize()
        with self.stream:
            try:
                yield
            finally:
                self.synchronize()

    def free_memory(self) -> int:
        """Return how many bytes of the GPU's memory are free, or kept for further arrays."""
        return self.xp.cuda.runtime.memGetInfo()[0] + self.xp.get_default_memory_pool().free_bytes()

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def _put(self, host: np.ndarray) -> Array:
        return self.xp.asarray(host, order="C")  # or a kernel would take columns for rows

    def _get(self, array: Array) -> np.ndarray:
        return self.xp.asnumpy(array)


def get_device(name: str = "auto", kernels: str = "auto", threads: int | None = None) -> Device:
    """Return the device called 'cpu', 'cuda' or 'auto' (a GPU if one is usable, else the CPU).

    kernels  'compiled' (by Numba on the CPU, of CUDA C on a GPU), 'plain' (array code), or 'auto':
             compiled, on the CPU where Numba can be used (see `without_numba`)
    threads  of the compiled kernels; None: as many as the process may use cores

    Raises DeviceError for 'cuda' on a machine without CuPy or without a usable GPU, and for
    'compiled' without Numba, or with NUMBA_DISABLE_JIT.
    """
    if kernels not in KERNELS:
        raise unknown("kernels", kernels, KERNELS)
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads {threads!r}: expected 1 or more.")
    note = ""
    if name in ("cuda", "auto"):
        try:
            return CudaDevice("plain" if kernels == "plain" else "compiled")
        except DeviceError as error:
            if name == "cuda":
                raise
            note = f"device 'auto' is the CPU: {str(error).removesuffix(ELSE)}"
    elif name != "cpu":
        raise unknown("device", name, ["cpu", "cuda", "auto"])
    if kernels == "auto":
        kernels = "compiled" if has_numba() else "plain"
    if kernels == "compiled" and not has_numba():
        raise DeviceError(f"kernels 'compiled' need Numba, {without_numba()}. Or use {PLAIN}.")
    device = Device(kernels, threads)
    device.note = note
    return device


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_numba() -> bool:
    """Return whether Numba is installed, works with the NumPy that is, and compiles."""
    return not without_numba()


def without_numba() -> str:
    """Return why Numba cannot be used, and what to do, to be read after "Numba, "; "" if it can."""
    try:
        numba = importlib.import_module("numba")
    except (ImportError, OSError):  # OSError: its library cannot be loaded
        return "which cannot be imported: pip install numba"
    if numba.config.DISABLE_JIT:
        return "which NUMBA_DISABLE_JIT keeps from compiling: unset it"
    return ""


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


_BY_STREAM: weakref.WeakValueDictionary[int, Device] = weakref.WeakValueDictionary()


def at_work(array: Array) -> Device | None:
    """Return the GPU whose stream a CuPy array's work goes to now, within its `working`; None for
    other arrays, and outside of it."""
    if type(array).__module__.partition(".")[0] != "cupy":
        return None
    return _BY_STREAM.get(sys.modules["cupy"].cuda.get_current_stream().ptr)


def is_array(value: object) -> bool:
    """Return whether a value is an array, of whatever device."""
    try:
        namespace(value)
    except DeviceError:
        return False
    return True


def check_dtype(name: str) -> str:
    """Return the name of a floating-point type the engine computes in, or raise InputError."""
    if name not in DTYPES:
        raise InputError(f"dtype {name!r}: expected one of {', '.join(DTYPES)}.")
    return name
